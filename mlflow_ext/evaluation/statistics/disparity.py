"""How far rates lie apart between groups, and how sure that is.

The largest difference among many groups is large by luck alone, so its interval is no textbook one.
Its upper end needs no correction: it is below the truth only if the bound of the one pair which
really is furthest apart is. Its lower end may be raised by any pair, so every pair is bounded at
its share of the error. Together the truth lies inside with the stated confidence.

Source: for the upper end, Berger (1982), Technometrics 24:295-300 (intersection-union tests); for
the lower one, Bonferroni's inequality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlflow_ext.evaluation.predictions import Array
from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.intervals import LEVEL, wilson, z_score


@dataclass(frozen=True, eq=False)
class Rates:
    """One rate in each of several groups; arrays of shape (groups,)."""

    value: Array
    """Successes by rows."""
    rows: Array
    """Rows that the rate is about, at least one in each group."""

    @property
    def successes(self) -> Array:
        """Rows that count."""
        return self.value * self.rows

    @property
    def pairs(self) -> int:
        """Ordered pairs of different groups."""
        return len(self.rows) * (len(self.rows) - 1)


def largest_difference(rates: Sequence[Rates], level: float = LEVEL) -> Estimate:
    """Measure how far the groups furthest apart are: highest rate minus lowest.

    Args:
        rates: One or more rates, two groups at least in each; the largest difference of them all
            counts, as in equalized odds.
        level: Confidence of the two-sided interval, in (0, 1).

    Returns:
        The difference, in [0, 1].

    Source: for the interval of a pair, Newcombe (1998), Statistics in Medicine 17:873-890,
    method 10.
    """
    shared = _shared_level(rates, level)
    return Estimate(
        value=max(float(np.ptp(rate.value)) for rate in rates),
        low=max(0.0, *(float(_differences(rate, shared)[0].max()) for rate in rates)),
        high=min(1.0, max(float(_differences(rate, level)[1].max()) for rate in rates)),
        rows=_rows(rates),
    )


def smallest_ratio(rates: Sequence[Rates], level: float = LEVEL) -> Estimate:
    """Measure how far the groups furthest apart are: lowest rate by highest.

    Args:
        rates: As for `largest_difference`; the smallest ratio of them all counts.
        level: Confidence of the two-sided interval, in (0, 1).

    Returns:
        The ratio, in [0, 1]; NaN where a rate is zero in every group.

    Source: for the interval of a pair, Walter (1975), Biometrika 62:371-374 (adjusted log ratio).
    """
    if any(rate.value.max() == 0 for rate in rates):
        return Estimate(value=math.nan, low=math.nan, high=math.nan, rows=_rows(rates))
    shared = _shared_level(rates, level)
    value = min(float(rate.value.min() / rate.value.max()) for rate in rates)
    return Estimate(
        value=value,
        low=min(value, *(float(_ratios(rate, level)[0].min()) for rate in rates)),
        high=min(1.0, *(float(_ratios(rate, shared)[1].min()) for rate in rates)),
        rows=_rows(rates),
    )


def _shared_level(rates: Sequence[Rates], level: float) -> float:
    return 1 - (1 - level) / sum(rate.pairs for rate in rates)


def _rows(rates: Sequence[Rates]) -> int:
    return int(max(rate.rows.sum() for rate in rates))


def _differences(rate: Rates, level: float) -> Array:
    """Bounds of every group's rate minus every other's; shape (2, pairs)."""
    low, high = wilson(rate.successes, rate.rows, level)
    below, above = np.square(rate.value - low), np.square(high - rate.value)
    difference = np.subtract.outer(rate.value, rate.value)
    lows = difference - np.sqrt(np.add.outer(below, above))
    highs = difference + np.sqrt(np.add.outer(above, below))
    return _of_pairs(lows, highs)


def _ratios(rate: Rates, level: float) -> Array:
    """Bounds of every group's rate by every other's; shape (2, pairs)."""
    successes, rows = rate.successes + 0.5, rate.rows + 0.5
    logarithm, variance = np.log(successes / rows), 1 / successes - 1 / rows
    ratio = np.subtract.outer(logarithm, logarithm)
    reach = z_score(level) * np.sqrt(np.add.outer(variance, variance))
    return np.exp(_of_pairs(ratio - reach, ratio + reach))


def _of_pairs(lows: Array, highs: Array) -> Array:
    is_pair = ~np.eye(len(lows), dtype=bool)
    return np.stack([lows[is_pair], highs[is_pair]])
