"""Counts of labels against decisions, and the metrics that are ratios of such counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mlflow_ext.evaluation.predictions import Array, Predictions


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each label met each decision; arrays of one shape, such as one entry per group."""

    true_negatives: Array
    false_positives: Array
    false_negatives: Array
    true_positives: Array

    @property
    def rows(self) -> Array:
        """Number of rows."""
        return self.selected + self.true_negatives + self.false_negatives

    @property
    def positives(self) -> Array:
        """Rows whose label is 1."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> Array:
        """Rows whose label is 0."""
        return self.false_positives + self.true_negatives

    @property
    def selected(self) -> Array:
        """Rows that are predicted positive."""
        return self.true_positives + self.false_positives


Proportion = Callable[[Confusion], tuple[Array, Array]]

PROPORTIONS: Mapping[str, Proportion] = MappingProxyType(
    {
        "accuracy": lambda c: (c.true_positives + c.true_negatives, c.rows),
        "recall": lambda c: (c.true_positives, c.positives),
        "precision": lambda c: (c.true_positives, c.selected),
        "selection_rate": lambda c: (c.selected, c.rows),
        "false_positive_rate": lambda c: (c.false_positives, c.negatives),
    }
)
"""Name -> successes, and the rows among which they are counted."""

RATIOS: Mapping[str, Proportion] = MappingProxyType(
    {
        **PROPORTIONS,
        "f1": lambda c: (2 * c.true_positives, c.positives + c.selected),
    }
)
"""Name -> numerator and denominator; f1 is a ratio of counts, but no share of rows."""


def count_confusion(
    predictions: Predictions, codes: Array | None = None, groups: int = 1
) -> Confusion:
    """Count labels against decisions, in each group.

    Args:
        predictions: The rows.
        codes: Shape (rows,): the group of each row, in 0 … *groups* - 1; None for one group.
        groups: Number of groups.

    Returns:
        Counts of shape (groups,), in one pass over the rows.
    """
    cell = 2 * predictions.labels.astype(int) + predictions.decisions
    if codes is not None:
        cell += 4 * codes
    return Confusion(*np.bincount(cell, minlength=4 * groups).reshape(groups, 4).T)


def ratio(metric: str, counts: Confusion) -> Array:
    """Compute a metric of `RATIOS` from *counts*; NaN where nothing is there to be counted."""
    numerator, denominator = RATIOS[metric](counts)
    with np.errstate(invalid="ignore"):
        return np.asarray(numerator / denominator)
