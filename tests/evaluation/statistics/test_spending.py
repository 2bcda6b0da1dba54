"""The error budget: its sum, and that retrying until lucky does not work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.paired import Claim, compare, mcnemar
from mlflow_ext.evaluation.statistics.spending import spend, spent

ROWS, ATTEMPTS, REPEATS = 2_000, 20, 400
ACCURACY, DISCORDANT = 0.8, 0.11


@given(st.integers(1, 2_000), st.floats(0.001, 0.5))
def test_any_number_of_attempts_spends_less_than_the_budget(attempts, budget):
    total = sum(spend(k, budget) for k in range(1, attempts + 1))
    assert total == pytest.approx(spent(attempts, budget))
    assert total < budget


def test_every_attempt_has_less_than_the_one_before_and_never_nothing():
    levels = [spend(k) for k in range(1, 1_000)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] > 0
    assert spent(0) == 0


def test_attempts_are_counted_from_one():
    with pytest.raises(ValueError, match="attempt 0"):
        spend(0)


@pytest.fixture(scope="module")
def discordant():
    """Rows won and lost by challengers as good as their champion, (repeats, attempts) each.

    In every repeat one champion and one holdout meet `ATTEMPTS` challengers, as in retraining.
    """
    random = np.random.default_rng(11)
    right = random.binomial(ROWS, ACCURACY, (REPEATS, 1))
    shape, half = (REPEATS, ATTEMPTS), DISCORDANT / 2
    lost = random.binomial(right, half / ACCURACY, shape)
    gained = random.binomial(ROWS - right, half / (1 - ACCURACY), shape)
    return gained, lost


def test_the_naive_rule_promotes_an_equal_challenger_sooner_or_later(discordant):
    gained, lost = discordant
    promoted = (gained - lost) / ROWS >= 0.005
    assert promoted[:, 0].mean() > 0.15, "at once"
    assert promoted.any(axis=1).mean() > 0.6, "within twenty retrains"


def test_testing_each_attempt_at_the_same_level_is_not_enough(discordant):
    assert (mcnemar(*discordant) < 0.05).any(axis=1).mean() > 0.2


def test_with_the_budget_hardly_any_equal_challenger_is_ever_promoted(discordant):
    levels = np.array([spend(k) for k in range(1, ATTEMPTS + 1)])
    promoted = mcnemar(*discordant) < levels
    assert promoted.any(axis=1).mean() <= 0.05


def test_the_comparison_of_predictions_is_the_test_that_was_simulated(discordant):
    gained, lost = (counts[0, :5].tolist() for counts in discordant)
    labels = np.ones(ROWS, dtype=int)
    for attempt, (won, missed) in enumerate(zip(gained, lost, strict=True), start=1):
        champion = Predictions("t", labels, np.where(np.arange(ROWS) < won, 0.2, 0.8))
        challenger = Predictions("t", labels, np.where(np.arange(ROWS) >= ROWS - missed, 0.2, 0.8))
        claim = Claim(alternative="superiority", alpha=spend(attempt))
        found = compare("accuracy", challenger, champion, claim)
        assert found.p_value == pytest.approx(float(mcnemar(won, missed)))
        assert found.is_shown == (found.p_value < spend(attempt))


def test_a_better_challenger_still_gets_through_at_a_late_attempt():
    random = np.random.default_rng(1)
    gained, lost = random.binomial(ROWS, 0.09, 200), random.binomial(ROWS, 0.02, 200)
    assert (mcnemar(gained, lost) < spend(ATTEMPTS)).mean() > 0.95
