"""The bootstrap interval of a difference, checked against theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_ext.evaluation.metrics import METRICS, score
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.uncertainty import _area, difference_interval


def two_models(rows, noise):
    """A good model, and the same one with *noise* added."""
    random = np.random.default_rng(1)
    truth = random.random(rows)
    labels = (random.random(rows) < truth).astype(int)
    worse = np.clip(truth + noise * random.normal(size=rows), 0, 1)
    return Predictions("holdout", labels, truth), Predictions("holdout", labels, worse)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_models_differ_by_nothing(metric):
    one, _ = two_models(100, 0)
    assert difference_interval(metric, one, one) == (0, 0)


@pytest.mark.parametrize(("metric", "sign"), [("roc_auc", 1), ("brier", -1), ("log_loss", -1)])
def test_a_clearly_better_model_has_an_interval_on_its_side_of_zero(metric, sign):
    low, high = difference_interval(metric, *two_models(1000, 0.5))
    assert min(sign * low, sign * high) > 0


def test_an_interval_holds_the_difference_and_repeats_itself():
    good, bad = two_models(500, 0.2)
    low, high = difference_interval("roc_auc", good, bad)
    point = score("roc_auc", good.labels, good.probability) - score(
        "roc_auc", bad.labels, bad.probability
    )
    assert low < point < high
    assert (low, high) == difference_interval("roc_auc", good, bad)


def test_more_rows_make_the_interval_narrower():
    widths = [
        np.ptp(difference_interval("roc_auc", *two_models(rows, 0.2))) for rows in (200, 3200)
    ]
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.5)


def test_the_width_agrees_with_the_exact_variance_of_a_mean():
    good, bad = two_models(2000, 0.3)
    low, high = difference_interval("brier", good, bad)
    paired = (good.probability - good.labels) ** 2 - (bad.probability - bad.labels) ** 2
    within = sum((good.labels == k).mean() * paired[good.labels == k].var() for k in (0, 1))
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(within / 2000), rel=0.15)


def test_there_is_no_interval_where_the_metric_is_undefined():
    labels = np.arange(20) % 2
    shy, bold = (Predictions("holdout", labels, np.full(20, p)) for p in (0.1, 0.9))
    assert difference_interval("precision", shy, bold) is None


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
@settings(max_examples=50)
def test_the_area_from_ranks_is_the_roc_auc(negatives, positives):
    labels = np.array([0] * len(negatives) + [1] * len(positives))
    probability = np.array(negatives + positives) / 9
    assert _area(np.array(negatives), np.array(positives)) == pytest.approx(
        score("roc_auc", labels, probability)
    )
