"""Intervals: beside scipy, how often they hold the truth, and where nothing is certain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_side_by_side import models, predictions
from scipy.stats import binomtest

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.confusion import PROPORTIONS
from mlflow_ext.evaluation.statistics.intervals import interval, wilson


@given(st.integers(1, 500), st.data(), st.sampled_from([0.8, 0.95, 0.999]))
@settings(max_examples=100)
def test_wilson_is_that_of_scipy(rows, data, level):
    successes = data.draw(st.integers(0, rows))
    expected = binomtest(successes, rows).proportion_ci(level, method="wilson")
    assert wilson(successes, rows, level) == pytest.approx([expected.low, expected.high])


def test_wilson_of_many_is_that_of_each_and_of_no_rows_everything():
    both = wilson(np.array([3, 0]), np.array([10, 0]))
    assert both[:, 0] == pytest.approx(wilson(3, 10))
    assert both[:, 1].tolist() == [0, 1]


@given(predictions(fewest=2, most=60), st.sampled_from([0.8, 0.99]))
@settings(max_examples=80, deadline=None)
def test_an_interval_has_width_and_holds_the_value(case, level):
    (one,) = case
    for metric in METRICS:
        found = interval(metric, one, level, resamples=400)
        if found is not None:
            assert found[0] < found[1]
            if metric != "ece":
                assert found[0] - 1e-9 <= score_of(metric, one) <= found[1] + 1e-9
            if metric != "log_loss":
                assert found[0] >= 0
                assert found[1] <= 1


@pytest.mark.parametrize("metric", METRICS)
def test_four_times_the_rows_have_half_the_width(metric):
    widths = [np.ptp(interval(metric, *models(rows, 0.2))) for rows in (1_000, 4_000)]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.25)


@pytest.mark.parametrize("metric", METRICS)
def test_a_higher_level_is_wider_and_the_same_seed_the_same(metric):
    (one,) = models(300, 0.2)
    narrow, wide, again = (interval(metric, one, level) for level in (0.8, 0.99, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert wide == again


@pytest.mark.parametrize("metric", [*sorted(METRICS.keys() - {"ece"}), "selection_rate"])
def test_intervals_hold_the_truth_as_often_as_they_say(metric):
    """90 % of 300 samples, within four standard errors of that share."""
    (population,) = models(200_000, 0.15, seed=0)
    score = METRICS.get(metric)
    truth = score_of(metric, population) if score else population.decisions.mean()
    random = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        sample = population.take(random.integers(0, population.rows, 250))
        low, high = interval(metric, sample, 0.9, resamples=300)
        held += low <= truth <= high
    assert 0.83 <= held / 300 <= 0.97


def test_the_interval_of_a_calibration_error_is_not_pushed_up_by_resampling():
    """Percentiles of the draws themselves would lie above a truth that is near zero."""
    lows, highs = np.array(
        [interval("ece", one, 0.9) for s in range(40) for one in models(600, 0.0, seed=s)]
    ).T
    assert (lows <= 0.012).mean() > 0.7, "the truth is 0"
    assert np.mean(highs) < 0.06


@pytest.mark.parametrize(("rows", "pairs"), [(20, 10), (2_000, 1_000)])
def test_a_perfect_ranking_is_no_certainty(rows, pairs):
    labels = np.arange(rows) % 2
    low, high = interval("roc_auc", Predictions("t", labels, 0.1 + 0.8 * labels))
    assert high == pytest.approx(1)
    assert low == pytest.approx(wilson(pairs, pairs)[0])


def test_three_rows_say_little_or_nothing():
    few = Predictions("t", np.array([0, 1, 1]), np.array([0.2, 0.3, 0.9]))
    found = {metric: interval(metric, few) for metric in METRICS}
    for metric in ("brier", "log_loss", "average_precision", "ece"):
        assert found[metric] is None
    for metric in ("accuracy", "precision", "recall", "f1", "roc_auc"):
        assert np.ptp(found[metric]) > 0.5


def test_a_metric_that_is_undefined_has_no_interval():
    shy = Predictions("t", np.arange(40) % 2, np.full(40, 0.1))
    assert interval("precision", shy) is None
    only = Predictions("t", np.ones(40, int), np.linspace(0.1, 0.9, 40))
    assert interval("roc_auc", only) is None
    assert interval("average_precision", only) is None
    assert interval("false_positive_rate", only) is None
    assert interval("recall", only) is not None


def test_what_no_draw_can_change_is_not_called_certain():
    labels = np.arange(40) % 2
    perfect = Predictions("t", labels, labels.astype(float))
    assert interval("average_precision", perfect) is None
    assert interval("brier", perfect) is None
    assert interval("f1", perfect)[0] < 0.95


def test_an_unknown_metric_is_named():
    with pytest.raises(UnknownNameError, match="write 'roc_auc'"):
        interval("roc_acu", models(30, 0.1)[0])


def test_every_proportion_has_an_interval():
    (one,) = models(100, 0.1)
    assert all(interval(metric, one) for metric in PROPORTIONS)
