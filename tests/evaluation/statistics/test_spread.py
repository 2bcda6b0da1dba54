"""The spread of refits: against SciPy, and against a known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from mlflow_ext.evaluation.statistics.spread import standard_deviation, values_to_settle


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_the_interval_is_that_of_the_chi_square_distribution(values):
    found = standard_deviation(np.array(values), 0.9)
    freedom = len(values) - 1
    low, high = np.std(values, ddof=1) * np.sqrt(freedom / chi2.ppf([0.95, 0.05], freedom))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_the_truth_lies_inside_as_often_as_is_said():
    draws = np.random.default_rng(0).normal(scale=2, size=(2000, 10))
    found = [standard_deviation(values) for values in draws]
    assert np.mean([one.low <= 2 <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("limit", [0.8, 1.3])
def test_as_many_further_values_settle_it_as_is_said(limit):
    values = np.array([-1.0, 0.0, 1.0])
    spread = standard_deviation(values)
    assert spread.low < limit < spread.high
    further = values_to_settle(spread, limit)
    # As many values with the same standard deviation; one fewer would not do.
    for extra, is_settled in ((further, True), (further - 1, False)):
        many = np.random.default_rng(0).normal(size=3 + extra)
        many = (many - many.mean()) / np.std(many, ddof=1) * spread.value
        after = standard_deviation(many)
        assert (not after.low <= limit < after.high) is is_settled


def test_a_spread_right_at_the_limit_is_never_settled():
    assert values_to_settle(standard_deviation(np.array([-1.0, 0.0, 1.0])), 1.0) is None
