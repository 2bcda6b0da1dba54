"""Loading a promoted model: from the very files that were promoted, or not at all."""

from pathlib import Path

import mlflow
import pytest
from gated_shop import GatedShop
from judged_models import fit, flights, register

from mlflow_ext.errors import FilesChangedError, RefusedError
from mlflow_ext.registry.loading import load_model


@pytest.fixture
def shop(tracking, tmp_path, server_key):
    shop = GatedShop(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    mlflow.set_registry_uri(f"gated+{shop.uri}")
    for _ in range(2):
        register(shop.client, fit())
    shop.judge(1)
    shop.promote(1)
    return shop


def test_a_promoted_model_answers(shop):
    rows = flights()[["x", "hour"]].astype("float64")
    answers = load_model("models:/delay@champion").predict(rows)
    assert (answers == fit().predict(rows)).all()


def test_swapped_files_are_not_loaded(shop):
    location = Path(shop.client.get_model_version_download_uri("delay", "1").removeprefix("file:"))
    (location / "model.pkl").write_bytes(b"something else")
    with pytest.raises(FilesChangedError, match="models:/delay/1"):
        load_model("models:/delay/Production")


def test_a_version_that_was_never_promoted_is_not_loaded(shop):
    with pytest.raises(RefusedError, match="version 2 of model 'delay' was never promoted"):
        load_model("models:/delay/2")


def test_a_version_that_was_replaced_is_loaded_and_compared_still(shop):
    shop.judge(2)
    shop.promote(2)
    assert load_model("models:/delay/1").metadata
    location = Path(shop.client.get_model_version_download_uri("delay", "1").removeprefix("file:"))
    (location / "model.pkl").write_bytes(b"something else")
    with pytest.raises(FilesChangedError, match="models:/delay/1"):
        load_model("models:/delay/1")


@pytest.mark.parametrize("stage", ["Staging", "Archived"])
def test_a_stage_that_asks_for_nothing_is_no_promotion(shop, stage):
    shop.promote(2, stage="Staging")
    shop.promote(2, stage=stage)
    with pytest.raises(RefusedError, match="version 2 of model 'delay' was never promoted"):
        load_model("models:/delay/2")


def test_where_production_asks_for_nothing_a_promotion_to_it_is_one(shop):
    shop.govern(stages={"Production": {"alias": "champion"}})
    shop.promote(2)
    assert load_model("models:/delay@champion").metadata


def test_a_free_stage_of_long_ago_is_no_promotion(shop):
    shop.govern(stages={"Staging": {"alias": "challenger"}})
    shop.promote(2)
    shop.govern(stages={"Production": {"alias": "champion", "min_passed": 1}})
    with pytest.raises(RefusedError, match="was never promoted"):
        load_model("models:/delay/2")
