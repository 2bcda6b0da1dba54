"""Quantiles with order statistics for bounds: held against SciPy and against chance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mlflow_ext.evaluation.statistics.quantiles import quantile_interval


@given(draws=st.integers(1, 400), share=st.floats(0.01, 0.99), level=st.floats(0.5, 0.999))
def test_the_ends_are_the_tightest_ranks_that_keep_the_level(draws, share, level):
    _, low, high = quantile_interval(np.arange(1, draws + 1), share, level)
    tail, slack = (1 - level) / 2, 1e-9
    if math.isfinite(low):
        assert binom.cdf(low - 1, draws, share) <= tail + slack
    assert binom.cdf(low if math.isfinite(low) else 0, draws, share) > tail - slack
    if math.isfinite(high):
        assert binom.cdf(high - 1, draws, share) >= 1 - tail - slack
        assert binom.cdf(high - 2, draws, share) < 1 - tail + slack


def test_the_interval_holds_the_quantile_as_often_as_it_says():
    random = np.random.default_rng(0)
    found = [quantile_interval(random.exponential(size=100), 0.95) for _ in range(2000)]
    truth = -math.log(0.05)
    assert np.mean([low <= truth <= high for _, low, high in found]) >= 0.94


def test_the_order_of_the_draws_does_not_matter():
    draws = np.random.default_rng(0).normal(size=200)
    assert quantile_interval(draws, 0.95) == quantile_interval(draws[::-1], 0.95)


@pytest.mark.parametrize(("draws", "is_bound"), [(1, False), (71, False), (72, True), (500, True)])
def test_a_95th_percentile_is_bound_from_above_by_72_draws(draws, is_bound):
    assert math.isfinite(quantile_interval(np.ones(draws), 0.95)[2]) is is_bound


def test_the_value_is_that_of_the_sample():
    draws = np.random.default_rng(0).normal(size=37)
    assert quantile_interval(draws, 0.3)[0] == np.quantile(draws, 0.3)
