"""Quantiles of a sample, and how sure one can be of them, whatever the distribution is."""

from __future__ import annotations

import math

import numpy as np

from mlflow_ext.evaluation.predictions import Array


def quantile_interval(
    values: Array, share: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Estimate a quantile of what *values* were drawn from, by order statistics.

    How many of n independent draws lie below the quantile is binomial, so two of the sorted values
    enclose it with at least the stated probability.

    Args:
        values: Shape (draws,), at least one.
        share: Which quantile, in (0, 1): 0.95 is the 95th percentile.
        level: Confidence of the two-sided interval, in (0, 1).

    Returns:
        The quantile of the sample, and the low and the high end of the interval; an end is infinite
        where there are too few draws to bound it (for the 95th percentile, from above, 72).

    Source: Hahn & Meeker (1991), Statistical Intervals, section 5.2.

    >>> quantile_interval(np.arange(1, 101), 0.5)[1:]
    (40.0, 61.0)
    """
    ordered, tail = np.sort(values), (1 - level) / 2
    # Chance that at most k draws, k = 0 … n, lie below the quantile.
    at_most = np.cumsum(_binomial(len(ordered), share))
    low = int(np.searchsorted(at_most, tail, side="right"))  # draws that may lie below it, at least
    high = int(np.searchsorted(at_most, 1 - tail))  # … and at most
    return (
        float(np.quantile(ordered, share)),
        float(ordered[low - 1]) if low > 0 else -math.inf,
        float(ordered[high]) if high < len(ordered) else math.inf,
    )


def _binomial(draws: int, share: float) -> Array:
    """Chance of each number of successes, 0 … *draws*, by logarithms: factorials overflow."""
    factorials = np.array([math.lgamma(k + 1) for k in range(draws + 1)])
    k = np.arange(draws + 1)
    ways = factorials[-1] - factorials - factorials[::-1]
    chance: Array = np.exp(ways + k * math.log(share) + (draws - k) * math.log1p(-share))
    return chance
