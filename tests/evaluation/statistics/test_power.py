"""Rows that a question needs: checked by adding them."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.evaluation.statistics.power import rows_for_interval, rows_to_settle


@given(st.integers(1, 10_000), st.floats(0.001, 1), st.floats(0.001, 1))
def test_as_many_rows_settle_it_and_one_fewer_does_not(rows, reach, gap):
    further = rows_to_settle(rows, 0.0, reach, gap)

    def bound(more):
        return reach * np.sqrt(rows / (rows + more))

    assert bound(further) <= gap * (1 + 1e-6)
    if further:
        assert bound(further - 1) >= gap * (1 - 1e-6)
    else:
        assert reach <= gap * (1 + 1e-6)


def test_a_value_on_the_threshold_or_without_a_bound_is_never_settled():
    assert rows_to_settle(100, 0.5, 0.4, 0.5) is None
    assert rows_to_settle(100, 0.5, -math.inf, 0.4) is None


def test_rows_for_an_interval_look_at_the_end_towards_the_threshold():
    assert (
        rows_for_interval(100, 0.75, (0.7, 0.95), 0.9) == math.floor(100 * (0.2 / 0.15) ** 2) - 99
    )
    assert rows_for_interval(100, 0.75, (0.7, 0.95), 0.6) == 0
    assert rows_for_interval(100, 0.75, (0.7, 0.8), 0.7) == 1
    assert rows_for_interval(100, 0.75, (0.7, 0.8), 0.75) is None
    assert rows_for_interval(100, 0.75, None, 0.7) is None
