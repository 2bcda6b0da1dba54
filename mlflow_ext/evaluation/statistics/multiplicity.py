"""Many comparisons at once: how to find the worst of fifty slices without being fooled by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlflow_ext.evaluation.predictions import Array


def holm(p_values: Sequence[float] | Array) -> Array:
    """Adjust p-values so that the chance of *any* false finding stays below the level.

    Holds however the comparisons depend on each other, and never finds less than Bonferroni.

    Args:
        p_values: Shape (comparisons,), in [0, 1].

    Returns:
        Adjusted, in the same order, in [0, 1]: a finding is one that lies below the level.

    Source: Holm (1979), Scandinavian Journal of Statistics 6:65-70.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def simultaneous_level(level: float, comparisons: int) -> float:
    """Return the level of each of several intervals that *all* hold their values at *level*.

    To show that every slice is good enough, each at *level* will do (an intersection-union test:
    Berger, 1982, Technometrics 24:295-300); to show that some slice is not, this is needed.

    Args:
        level: In (0, 1), of all together.
        comparisons: Number of intervals, at least 1.

    Source: Dunn (1961), Journal of the American Statistical Association 56:52-64.

    >>> round(simultaneous_level(0.95, 10), 4)
    0.995
    """
    return 1 - (1 - level) / comparisons
