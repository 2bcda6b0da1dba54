"""What an interval says about accepted values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.gates.acceptance import Accepted, judge_estimate
from mlflow_ext.records import Verdict


def estimate(value, low, high):
    return Estimate(value=value, low=low, high=high, rows=100)


@pytest.mark.parametrize(
    ("accepted", "interval", "verdict"),
    [
        (Accepted(high=0.1), (0.0, 0.1), Verdict.PASSED),
        (Accepted(high=0.1), (0.11, 0.2), Verdict.FAILED),
        (Accepted(high=0.1), (0.1, 0.2), Verdict.INCONCLUSIVE),
        (Accepted(low=0.8), (0.8, 0.9), Verdict.PASSED),
        (Accepted(low=0.8), (0.7, 0.79), Verdict.FAILED),
        (Accepted(0.8, 1.25), (0.9, 1.1), Verdict.PASSED),
        (Accepted(0.8, 1.25), (1.3, 1.4), Verdict.FAILED),
        (Accepted(0.8, 1.25), (0.5, 2.0), Verdict.INCONCLUSIVE),
        (Accepted(0.8, 1.25), None, Verdict.INCONCLUSIVE),
    ],
)
def test_the_whole_interval_decides(accepted, interval, verdict):
    assert accepted.judge(interval) is verdict


@pytest.mark.parametrize(
    ("value", "interval", "rows"),
    [
        (1.0, (0.6, 1.4), 300),  # both ends have to come in: 0.4 to 0.2
        (0.7, (0.5, 0.9), 300),  # outside: the upper end has to leave, 0.2 to 0.1
        (0.8, (0.7, 0.9), None),  # right at the end
        (1.0, (0.9, 1.1), None),  # settled
    ],
)
def test_the_rows_that_would_settle_it(value, interval, rows):
    found = Accepted(0.8, 1.2).rows_needed(estimate(value, *interval))
    assert found == (rows and pytest.approx(rows, abs=1))


@given(st.floats(-3, 3), st.floats(0, 2), st.floats(0, 2))
def test_a_verdict_never_comes_with_rows_that_are_missing(value, below, above):
    check = judge_estimate("x", estimate(value, value - below, value + above), Accepted(-1, 1))
    if check.verdict is not Verdict.INCONCLUSIVE:
        assert check.rows_needed is None
        assert check.reason == ""
    elif check.rows_needed is None:
        assert abs(value) == 1 or min(below, above) == 0
    else:
        assert check.rows_needed >= 0


def test_what_is_undefined_says_why():
    check = judge_estimate("x", estimate(math.nan, 0, 1), Accepted(high=1), part="a", why="no rows")
    assert (check.verdict, check.observed, check.interval) == (Verdict.INCONCLUSIVE, None, None)
    assert (check.slice, check.reason, check.expected) == ("a", "no rows", "<= 1")
