"""The bootstrap by counts: the same as drawing rows and scoring them, only quicker."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_side_by_side import models, predictions
from scipy import stats

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, Metric, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics import resampling
from mlflow_ext.evaluation.statistics.resampling import ORDERED, fewest_rows, resample

RESAMPLED = ["brier", "log_loss", "precision", "recall", "f1", "accuracy", "average_precision"]


def draw_and_score(metric, first, second, draws):
    """What the quick form has to be the same as."""
    random = np.random.default_rng(99)
    for _ in range(draws):
        rows = random.integers(0, first.rows, first.rows)
        yield score_of(metric, first.take(rows)) - score_of(metric, second.take(rows))


@given(predictions(), st.sampled_from(sorted(ORDERED)), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_metrics_of_the_order_are_those_of_the_drawn_rows(case, metric, random):
    (one,) = case
    counts = np.zeros((3, one.rows), dtype=int)
    for draw in counts:
        np.add.at(draw, random.choices(range(one.rows), k=one.rows), 1)
    found = ORDERED[metric](one)(counts)
    for value, times in zip(found, counts, strict=True):
        drawn = one.take(np.repeat(np.arange(one.rows), times))
        if drawn.has_both_classes:
            assert value == pytest.approx(score_of(metric, drawn))
        elif not drawn.labels.any() and metric == "average_precision":
            assert np.isnan(value)


@pytest.mark.parametrize("metric", RESAMPLED)
def test_differences_are_distributed_as_if_each_draw_was_scored(metric):
    first, second = models(150, 0.05, 0.3)
    ours = resample(metric, first, second, draws=4_000)
    theirs = list(draw_and_score(metric, first, second, 400))
    assert stats.ks_2samp(ours, theirs).pvalue > 0.001


def test_a_biased_metric_is_reflected_at_its_value():
    first, second = models(150, 0.05, 0.3)
    value = score_of("ece", first) - score_of("ece", second)
    ours = resample("ece", first, second, draws=4_000)
    theirs = 2 * value - np.array(list(draw_and_score("ece", first, second, 400)))
    assert stats.ks_2samp(ours, theirs).pvalue > 0.001


def test_the_percentiles_of_a_mean_are_those_of_scipy():
    first, second = models(400, 0.05, 0.3)
    losses = [np.square(m.probability - m.labels) for m in (first, second)]
    theirs = stats.bootstrap(
        (losses[0] - losses[1],), np.mean, n_resamples=4_000, method="percentile", rng=0
    ).confidence_interval
    ours = np.quantile(resample("brier", first, second, draws=4_000), [0.025, 0.975])
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.05 * (theirs.high - theirs.low))


@pytest.mark.parametrize("surprises", [0, 1, 3])
def test_cells_keep_mean_variance_and_skewness_even_with_a_far_outlier(surprises):
    random = np.random.default_rng(0)
    values = random.gamma(2, 0.01, 3_000)
    values[:surprises] = 36
    found = resampling._draw_means(values, 40_000, np.random.default_rng(1))
    error = values.std() / np.sqrt(3_000)
    assert found.mean() == pytest.approx(values.mean(), abs=5 * error / np.sqrt(40_000))
    assert found.std() == pytest.approx(error, rel=0.03)
    assert stats.skew(found) == pytest.approx(stats.skew(values) / np.sqrt(3_000), abs=0.08)


def test_an_outlier_is_drawn_whole_times():
    values = np.append(np.zeros(999), 1_000.0)
    found = resampling._draw_means(values, 5_000, np.random.default_rng(1))
    np.testing.assert_allclose(found, found.round(), atol=1e-9)
    assert (found == 0).mean() == pytest.approx(np.exp(-1), abs=0.03)


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_seed_draws_the_same_and_another_one_does_not(metric):
    first, second = models(120, 0.05, 0.3)
    once, again, other = (resample(metric, first, second, draws=20, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


@pytest.mark.parametrize("block", [1, 300, 2**17])
def test_blocks_change_what_is_held_at_once_and_not_how_much_is_drawn(block, monkeypatch):
    monkeypatch.setattr(resampling, "BLOCK", block)
    (one,) = models(120, 0.1)
    for metric in ("average_precision", "brier", "ece", "f1"):
        assert resample(metric, one, draws=23).shape == (23,)


def test_every_draw_has_as_many_rows_as_there_are_and_misses_a_third_of_them():
    counts = np.concatenate(list(resampling._counts(500, 400, np.random.default_rng(0))))
    assert counts.shape == (400, 500)
    assert (counts.sum(axis=1) == 500).all()
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 500) ** 500, abs=0.005)


def test_a_metric_without_a_quick_form_is_scored_draw_by_draw(monkeypatch):
    median = Metric("minimize", lambda p: float(np.median(np.abs(p.probability - p.labels))))
    monkeypatch.setitem(METRICS, "median_error", median)
    (one,) = models(200, 0.1)
    found = resample("median_error", one, draws=60)
    assert len(np.unique(found)) > 10
    assert found.min() <= score_of("median_error", one) <= found.max()


def test_a_draw_from_which_a_class_has_vanished_has_no_value():
    one = Predictions("t", np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    for metric in ("average_precision", "recall", "roc_auc"):
        found = resample(metric, one, draws=200)
        assert 0 < np.isnan(found).sum() < 200


def test_equal_losses_have_nothing_to_be_drawn():
    half = Predictions("t", np.array([0, 1, 1]), np.full(3, 0.5))
    assert set(resample("brier", half, draws=5)) == {0.25}


def test_fewest_rows_looks_at_what_the_metric_rests_on():
    labels = np.array([1] * 3 + [0] * 17)
    one = Predictions("t", labels, np.array([0.9] * 2 + [0.1] * 18))
    metrics = ("brier", "accuracy", "recall", "precision", "roc_auc", "ece")
    assert [fewest_rows(m, one) for m in metrics] == [20, 20, 3, 2, 3, 1]


def test_an_unknown_metric_is_named():
    with pytest.raises(UnknownNameError, match="write 'brier'"):
        fewest_rows("briar", models(20, 0.1)[0])
