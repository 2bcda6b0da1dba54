"""How much a figure varies from one training to the next."""

from __future__ import annotations

import numpy as np

from mlflow_ext.evaluation.predictions import Array
from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.intervals import LEVEL

MOST = 10_000  # further values than that are no advice


def standard_deviation(values: Array, level: float = LEVEL) -> Estimate:
    """Estimate the standard deviation of normally distributed values.

    Args:
        values: Shape (values,), two at least.
        level: Confidence of the two-sided interval, in (0, 1).

    Returns:
        The standard deviation, in the unit of the values; NaN where one of them is.

    Source: Snedecor & Cochran (1989), Statistical Methods, section 5.11 (chi-square interval).
    """
    value = float(np.std(values, ddof=1))
    low, high = (value * float(end[0]) for end in _factors(np.array([len(values)]), level))
    return Estimate(value=value, low=low, high=high, rows=len(values))


def values_to_settle(spread: Estimate, limit: float, level: float = LEVEL) -> int | None:
    """Estimate how many further values take *limit* out of the interval of a spread.

    Args:
        spread: As of `standard_deviation`, with *limit* in its interval.
        limit: In its unit.
        level: In (0, 1).

    Returns:
        Further values, if the spread stays as it is; None where that would be more than `MOST`.
    """
    sizes = np.arange(spread.rows, spread.rows + MOST)
    low, high = (spread.value * end for end in _factors(sizes, level))
    is_settled = (low > limit) | (high <= limit)
    return int(np.argmax(is_settled)) if is_settled.any() else None


def _factors(sizes: Array, level: float) -> Array:
    """What a standard deviation of that many values is multiplied by; shape (2, sizes)."""
    from scipy.special import chdtri

    # Upper tail areas of the chi-square distribution.
    tails = np.array([[(1 - level) / 2], [(1 + level) / 2]])
    factors: Array = np.sqrt((sizes - 1) / chdtri(sizes - 1, tails))
    return factors
