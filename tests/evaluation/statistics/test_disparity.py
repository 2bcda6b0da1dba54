"""Gaps between groups: values against Fairlearn's definition, intervals against simulated truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.evaluation.statistics.disparity import Rates, largest_difference, smallest_ratio
from mlflow_ext.evaluation.statistics.power import rows_to_settle

counts = st.lists(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=2,
    max_size=6,
)


def rates(groups):
    successes, rows = np.array(groups, dtype=float).T
    return Rates(successes / rows, rows)


@given(counts)
def test_a_gap_is_the_largest_of_all_pairs_and_lies_in_its_interval(groups):
    rate = rates(groups)
    gap, ratio = largest_difference([rate]), smallest_ratio([rate])
    assert gap.value == pytest.approx(max(abs(a - b) for a in rate.value for b in rate.value))
    assert 0 <= gap.low <= gap.value <= gap.high <= 1
    if rate.value.max() == 0:
        assert ratio.interval is None
    else:
        assert ratio.value == pytest.approx(min(a / b for a in rate.value for b in rate.value if b))
        assert 0 <= ratio.low <= ratio.value <= ratio.high <= 1


@given(counts, st.floats(0.5, 0.98))
def test_more_confidence_is_a_wider_interval(groups, level):
    for measure in (largest_difference, smallest_ratio):
        narrow, wide = (measure([rates(groups)], at) for at in (level, 0.99))
        if narrow.interval:
            assert wide.low <= narrow.low
            assert narrow.high <= wide.high


def test_the_interval_of_two_groups_is_that_of_newcombe():
    # Newcombe (1998), table II, contrast (a): 56/70 against 48/80, method 10.
    found = largest_difference([rates([(56, 70), (48, 80)])], level=0.95)
    assert found.value == pytest.approx(0.2)
    assert found.high == pytest.approx(0.3339, abs=5e-5)
    # The lower end pays for two ordered pairs.
    assert largest_difference([rates([(56, 70), (48, 80)])], level=0.9).low == pytest.approx(
        0.0524, abs=5e-5
    )


def test_of_several_rates_the_one_that_is_further_apart_counts():
    near, far = rates([(50, 100), (55, 100)]), rates([(50, 100), (90, 100)])
    assert largest_difference([near, far]).value == pytest.approx(0.4)
    assert smallest_ratio([near, far]).value == pytest.approx(50 / 90)
    # More comparisons, so that the end which any of them may raise is lower.
    assert largest_difference([near, far]).low < largest_difference([far]).low


@pytest.mark.parametrize(
    "truth", [[0.3] * 8, [0.3, 0.5], [0.1, 0.1, 0.1, 0.2]], ids=["equal", "two", "one off"]
)
def test_the_truth_lies_inside_as_often_as_is_said(truth):
    random, truth, rows = np.random.default_rng(0), np.array(truth), 400
    found = []
    for successes in random.binomial(rows, truth, (400, len(truth))):
        rate = Rates(successes / rows, np.full(len(truth), rows))
        gap, ratio = largest_difference([rate]), smallest_ratio([rate])
        found.append(
            (
                gap.low - 1e-9 <= np.ptp(truth) <= gap.high,
                ratio.low <= truth.min() / truth.max() <= ratio.high + 1e-9,
            )
        )
    assert np.mean(found, axis=0).min() > 0.93


def test_equal_groups_are_not_told_apart_however_many_there_are():
    random = np.random.default_rng(1)
    draws = random.binomial(500, 0.3, (300, 20))
    lows = [largest_difference([Rates(d / 500, np.full(20, 500))]).low for d in draws]
    assert np.mean(np.array(lows) > 0) < 0.05
    # Whereas the gap itself always looks like one.
    assert np.ptp(draws / 500, axis=1).min() > 0.03


def test_further_rows_shrink_the_interval_as_is_promised():
    before = largest_difference([rates([(50, 100), (45, 100)])])
    further = rows_to_settle(before.rows, before.value, before.high, 0.1)
    factor = 1 + further / before.rows
    after = largest_difference([rates([(50 * factor, 100 * factor), (45 * factor, 100 * factor)])])
    assert after.high == pytest.approx(0.1, abs=0.005)
