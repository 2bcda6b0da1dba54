"""Two models on the same rows: tests beside references, their agreement, and how often they err."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from models_side_by_side import models, predictions
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from mlflow_ext.errors import TableError
from mlflow_ext.evaluation.metrics import METRICS, direction, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics import paired
from mlflow_ext.evaluation.statistics.paired import (
    Claim,
    compare,
    mcnemar,
    mcnemar_bounds,
    tango,
    tango_bounds,
)

CLAIMS = st.builds(
    Claim,
    alternative=st.sampled_from(["non-inferiority", "superiority"]),
    margin=st.sampled_from([0, 0.005, 0.1]),
    alpha=st.sampled_from([0.2, 0.05, 0.001]),
)
COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 200))


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=100)
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    assume(gained + lost)
    expected = binomtest(gained, gained + lost, alternative="greater").pvalue
    assert float(mcnemar(gained, lost)) == pytest.approx(expected)


def test_mcnemar_takes_arrays_and_knows_nothing_without_discordant_rows():
    assert mcnemar(np.array([5, 0]), np.array([0, 0])) == pytest.approx([1 / 32, 1])


@given(COUNTS, st.sampled_from([0.2, 0.05, 0.001]))
@settings(max_examples=100)
def test_the_exact_bounds_agree_with_the_exact_test(counts, alpha):
    gained, lost, both = counts
    assume(gained + lost)
    low, high = mcnemar_bounds(gained, lost, gained + lost + both, alpha)
    assert (low > 0) == (mcnemar(gained, lost) < alpha)
    assert (high < 0) == (mcnemar(lost, gained) < alpha)
    assert low <= (gained - lost) / (gained + lost + both) <= high


@given(COUNTS, st.floats(-0.9, 0.9))
@settings(max_examples=100)
def test_the_score_of_tango_uses_the_most_likely_shares_under_the_difference(counts, difference):
    gained, lost, both = counts
    rows = gained + lost + both
    assume(gained + lost)

    def unlikelihood(share):
        cells = ((gained, share + difference), (lost, share), (both, 1 - 2 * share - difference))
        return -sum(n * math.log(max(p, 1e-300)) for n, p in cells)

    limits = (max(0, -difference), (1 - difference) / 2)
    share = minimize_scalar(unlikelihood, bounds=limits, options={"xatol": 1e-12}).x
    variance = rows * (2 * share + difference * (1 - difference))
    expected = (gained - lost - rows * difference) / math.sqrt(variance)
    assert tango(gained, lost, rows, difference) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_without_a_difference_the_score_of_tango_is_that_of_mcnemar():
    assert tango(30, 12, 500, 0) == pytest.approx(18 / math.sqrt(42))


@pytest.mark.parametrize("rows", [3, 43, 5_000])
def test_without_a_discordant_row_the_bounds_of_tango_are_those_of_the_score_interval(rows):
    square = norm.ppf(0.975) ** 2
    reach = square / (rows + square)
    assert tango_bounds(0, 0, rows, 0.025) == pytest.approx((-reach, reach))


@given(COUNTS, st.sampled_from([0.2, 0.05, 0.001]))
@settings(max_examples=150)
def test_the_bounds_of_tango_invert_its_test(counts, alpha):
    gained, lost, both = counts
    rows, z = gained + lost + both, norm.ppf(1 - alpha)
    low, high = tango_bounds(gained, lost, rows, alpha)
    assert -1 <= low < high <= 1
    for bound, expected in ((low, z), (high, -z)):
        if abs(bound) < 1 - 1e-6:
            assert tango(gained, lost, rows, bound) == pytest.approx(expected, abs=1e-4)
    assert tango_bounds(lost, gained, rows, alpha) == pytest.approx((-high, -low), abs=1e-6)


@given(predictions(most=60, number=2), st.sampled_from(sorted(METRICS)), CLAIMS)
@settings(max_examples=120, deadline=None)
def test_p_value_and_bound_always_say_the_same(case, metric, claim):
    found = compare(metric, *case, claim)
    assume(found is not None)
    assert found.is_shown == (found.p_value < claim.alpha)
    assert found.low <= found.difference <= found.high or metric == "ece"
    assert not (found.is_shown and found.is_refuted)
    assert (found.rows_needed == 0) == (found.is_shown or found.is_refuted)
    gain = score_of(metric, case[0]) - score_of(metric, case[1])
    assert found.difference == pytest.approx(
        gain if direction(metric) == "maximize" else -gain, abs=1e-9
    )


@pytest.mark.parametrize(
    ("metric", "margin", "method"),
    [
        ("accuracy", 0, "exact McNemar"),
        ("recall", 0, "exact McNemar"),
        ("accuracy", 0.01, "Tango score"),
        ("roc_auc", 0, "DeLong"),
        ("brier", 0, "paired bootstrap, 10,000 draws"),
        ("average_precision", 0.01, "paired bootstrap, 10,000 draws"),
    ],
)
def test_each_metric_has_its_method(metric, margin, method):
    found = compare(metric, *models(300, 0.1, 0.3), Claim(margin=margin))
    assert found.method == method


@pytest.mark.parametrize("metric", METRICS)
def test_a_clearly_better_model_is_shown_to_be_better_and_the_worse_one_refuted(metric):
    (good,) = models(3_000, 0.02)
    bad = Predictions("t", good.labels, 0.6 * (1 - good.probability))
    claim = Claim(alternative="superiority", alpha=0.01)
    better, worse = compare(metric, good, bad, claim), compare(metric, bad, good, claim)
    assert better.is_shown
    assert better.difference > 0
    assert worse.is_refuted
    assert worse.difference == pytest.approx(-better.difference)


@pytest.mark.parametrize("metric", METRICS)
def test_identical_predictions_are_not_worse_by_any_margin_and_never_better(metric):
    (one,) = models(50, 0.1)
    assert compare(metric, one, one, Claim(margin=0.001)).is_shown
    assert not compare(metric, one, one, Claim()).is_shown
    assert not compare(metric, one, one, Claim(alternative="superiority")).is_shown


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "f1", "average_precision"])
def test_models_that_no_row_tells_apart_may_differ_on_rows_not_seen(metric):
    (one,) = models(400, 0.1)
    shifted = Predictions("t", one.labels, one.probability * 0.999 + 0.0005)
    found = compare(metric, one, shifted, Claim(margin=0.001))
    assert found.difference == 0
    assert not found.is_shown
    assert -0.05 < found.low < 0 < found.high < 0.05


@pytest.mark.parametrize("metric", ["roc_auc", "brier", "ece", "precision"])
def test_too_few_rows_yield_no_comparison(metric):
    labels = np.array([0, 1, 1])
    first, second = (Predictions("t", labels, np.array(p)) for p in ([0.1, 0.6, 0.9], [0.2] * 3))
    assert compare(metric, first, second, Claim()) is None


def test_three_rows_show_nothing_even_where_they_can_be_compared():
    labels = np.array([0, 1, 1])
    first, second = (Predictions("t", labels, np.array(p)) for p in ([0.1, 0.6, 0.9], [0.2] * 3))
    for claim in (Claim(), Claim(margin=0.05)):
        found = compare("accuracy", first, second, claim)
        assert not found.is_shown
        assert not found.is_refuted


def test_an_undefined_metric_yields_no_comparison():
    labels = np.arange(60) % 2
    first, second = (Predictions("t", labels, np.full(60, p)) for p in (0.1, 0.9))
    assert compare("precision", first, second, Claim()) is None
    only = Predictions("t", np.ones(60, int), np.linspace(0, 1, 60))
    assert compare("roc_auc", only, only, Claim()) is None


def test_other_rows_are_refused():
    first, second = models(50, 0.1)[0], models(50, 0.1, seed=2)[0]
    with pytest.raises(TableError, match="same rows in the same order"):
        compare("accuracy", first, second, Claim())


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"alpha": 0}, {"alpha": 0.5}])
def test_a_claim_without_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="expected margin"):
        Claim(**wrong)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "brier"])
def test_the_rows_that_are_said_to_be_needed_settle_it(metric):
    first, second = models(500, 0.10, 0.11)
    claim = Claim(alternative="superiority")
    needed = compare(metric, first, second, claim).rows_needed
    assert needed > 0
    times = math.ceil((500 + needed) / 500) + 1
    many = [
        Predictions("t", np.tile(m.labels, times), np.tile(m.probability, times))
        for m in (first, second)
    ]
    assert compare(metric, *many, claim).rows_needed == 0


def test_an_error_level_that_no_draw_can_reach_shows_nothing():
    good, bad = models(500, 0.02, 0.6)
    found = compare("brier", good, bad, Claim(alpha=1e-7))
    assert found.low == -math.inf
    assert not found.is_shown
    assert found.rows_needed is None


def equals(rows, random):
    """A champion, and a challenger just as good that judges a third of the rows anew."""
    labels = (random.random(rows) < 0.5).astype(int)
    scores = random.normal(labels, 1, (2, rows))
    scores[1] = np.where(random.random(rows) < 0.3, scores[1], scores[0])
    return [Predictions("t", labels, 1 / (1 + np.exp(0.5 - s))) for s in scores]


@pytest.mark.parametrize("metric", ["accuracy", "recall", "roc_auc", "brier", "f1"])
def test_equally_good_models_are_called_better_no_oftener_than_alpha(metric, monkeypatch):
    """600 pairs at 10 %, within about three standard errors; McNemar's test is on the safe side."""
    monkeypatch.setattr(paired, "DRAWS", 500)
    random = np.random.default_rng(7)
    claim = Claim(alternative="superiority", alpha=0.1)
    shown = sum(compare(metric, *equals(400, random), claim).is_shown for _ in range(600))
    assert 0.04 <= shown / 600 <= 0.14


@pytest.mark.parametrize("margin", [0.02, 0.05])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_a_model_worse_by_just_the_margin_is_let_through_no_oftener_than_alpha(margin, alpha):
    random = np.random.default_rng(3)
    z = norm.ppf(1 - alpha)
    cells = [0.05, 0.05 + margin, 0.9 - margin]
    counts = random.multinomial(800, cells, size=20_000)
    let_through = np.mean([tango(won, lost, 800, -margin) > z for won, lost, _ in counts.tolist()])
    assert let_through <= alpha * 1.3
    assert let_through >= alpha * 0.6
