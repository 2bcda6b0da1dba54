"""One feature as a prediction: as good as it is, and no better for remembering."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mlflow_ext.evaluation.statistics.single_feature import measure_feature


@given(st.integers(0, 2**32 - 1))
def test_the_area_of_a_number_is_that_of_scikit_learn_in_the_better_direction(seed):
    random = np.random.default_rng(seed)
    labels = np.arange(60) % 3 == 0
    values = random.integers(9, size=60) - 4.0
    area = roc_auc_score(labels, values)
    found = measure_feature(pd.Series(values), labels.astype(int))
    assert found.value == pytest.approx(max(area, 1 - area))
    assert found.low <= found.value <= found.high


def test_the_direction_of_a_number_does_not_matter():
    labels = np.arange(90) % 2
    values = labels + np.random.default_rng(0).normal(size=90)
    up, down = (measure_feature(pd.Series(sign * values), labels) for sign in (1, -1))
    assert (down.value, down.low, down.high) == pytest.approx((up.value, up.low, up.high))


def test_categories_that_occur_once_predict_nothing_however_many_there_are():
    labels = np.random.default_rng(0).integers(2, size=2000)
    names = pd.Series([f"N{row}" for row in range(2000)])
    assert measure_feature(names, labels).value == pytest.approx(0.5, abs=0.05)


def test_a_category_is_worth_what_its_share_of_positives_is_worth():
    random = np.random.default_rng(0)
    codes = random.integers(3, size=5000)
    share = np.array([0.1, 0.5, 0.9])[codes]
    labels = (random.random(5000) < share).astype(int)
    found = measure_feature(pd.Series(np.array(["a", "b", "c"])[codes]), labels)
    assert found.value == pytest.approx(roc_auc_score(labels, share), abs=0.01)


def test_the_names_of_categories_do_not_matter():
    labels = np.random.default_rng(0).integers(2, size=500)
    names = pd.Series(np.where(labels, "x", "y")).sample(frac=1, random_state=0).reset_index()[0]
    other = names.map({"x": "a", "y": "z"}).astype("category")
    assert measure_feature(names, labels) == measure_feature(other, labels)
