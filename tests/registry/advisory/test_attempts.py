"""Attempts on plain MLflow: a tag of the registered model counts them."""

import json

import pytest

from mlflow_ext.errors import ModelNotFoundError
from mlflow_ext.registry.advisory.attempts import count_attempt
from mlflow_ext.registry.mode import find_mode

HOLDOUT = "f00d" * 16


def test_a_new_comparison_gets_the_next_number_and_an_old_one_keeps_its_own(tracking):
    tracking.create_registered_model("delay")
    numbers = [count_attempt(tracking, "delay", HOLDOUT, digit * 64) for digit in "abacb"]
    assert numbers == [1, 2, 1, 3, 2]
    assert count_attempt(tracking, "delay", "beef" * 16, "b" * 64) == 1


def test_the_tag_shows_what_was_counted(tracking):
    tracking.create_registered_model("delay")
    find_mode(tracking).count_attempt("delay", HOLDOUT, "a" * 64)
    tags = tracking.get_registered_model("delay").tags
    assert json.loads(tags[f"mlflow_ext.attempts.{HOLDOUT[:16]}"]) == ["a" * 16]


def test_a_model_that_does_not_exist_is_told(tracking):
    with pytest.raises(ModelNotFoundError, match="delay"):
        count_attempt(tracking, "delay", HOLDOUT, "a")
