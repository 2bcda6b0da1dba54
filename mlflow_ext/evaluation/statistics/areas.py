"""The area under the ROC curve and its variance, of all rows or group by group, by one sort.

Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44:837-845; in O(n log n) by ranks as in
Sun & Xu (2014), IEEE Signal Processing Letters 21:1389-1393.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlflow_ext.evaluation.predictions import Array, Predictions


@dataclass(frozen=True, eq=False)
class Areas:
    """ROC AUC, or the difference of two, in each group; arrays of shape (groups,)."""

    value: Array
    """NaN where a group holds one class."""
    variance: Array
    """Squared standard error of *value*; NaN where a class has fewer than two rows."""
    positives: Array
    """Rows with label 1."""
    negatives: Array
    """Rows with label 0."""


def placements(predictions: Predictions, codes: Array | None = None, groups: int = 1) -> Array:
    """Say for each row which share of the other class it is told apart from, ties half.

    The mean over the positives, and over the negatives, is the area under the ROC curve.

    Args:
        predictions: The rows.
        codes: Shape (rows,): the group of each row, in 0 … *groups* - 1; None for one group.
        groups: Number of groups; rows are compared inside their group only.

    Returns:
        Shape (rows,), in [0, 1]; NaN where the group holds no row of the other class.
    """
    codes = np.zeros(predictions.rows, dtype=np.uint16) if codes is None else codes
    order = _order(predictions.probability, codes, groups)
    group, probability = codes[order], predictions.probability[order]
    is_positive = predictions.labels[order] == 1
    # Rows of one group and probability are one run: among them nobody wins.
    starts_run = np.diff(group, prepend=-1).astype(bool) | (np.diff(probability, prepend=-1) != 0)
    run = np.cumsum(starts_run) - 1
    found = np.empty(predictions.rows)
    for is_mine, is_other in ((is_positive, ~is_positive), (~is_positive, is_positive)):
        others = np.bincount(run, is_other)
        total = np.bincount(group, is_other, minlength=groups)
        below = (np.cumsum(others) - others / 2)[run[is_mine]]
        below -= (np.cumsum(total) - total)[group[is_mine]]
        with np.errstate(invalid="ignore"):
            found[order[is_mine]] = below / total[group[is_mine]]
    # What lies below a negative is what it is *not* told apart from.
    return np.where(predictions.labels == 1, found, 1 - found)


def measure_areas(
    values: Array, labels: Array, codes: Array | None = None, groups: int = 1
) -> Areas:
    """Compute ROC AUC and its variance from `placements`.

    Args:
        values: Shape (rows,): placements; or those of one model minus those of another for the
            same rows, which yields the difference of their areas and its variance.
        labels: Shape (rows,), 0 or 1.
        codes: Shape (rows,): the group of each row; None for one group.
        groups: Number of groups.
    """
    codes = np.zeros(len(labels), dtype=np.uint16) if codes is None else codes
    classes = (labels == 1, labels == 0)
    (mean, of_positives, positives), (_, of_negatives, negatives) = (
        _mean(values[mask], codes[mask], groups) for mask in classes
    )
    return Areas(mean, of_positives + of_negatives, positives, negatives)


def _mean(values: Array, codes: Array, groups: int) -> tuple[Array, Array, Array]:
    """Mean of *values* in each group, the squared standard error of it, and the rows."""
    rows = np.bincount(codes, minlength=groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(codes, values, minlength=groups) / rows
        squares = np.bincount(codes, np.square(values - mean[codes]), minlength=groups)
        return mean, squares / (rows - 1) / rows, rows


def _order(probability: Array, codes: Array, groups: int) -> Array:
    """Positions by group, then by probability."""
    order = np.argsort(probability)
    if groups == 1:
        return order
    # NumPy sorts 16 bits by radix, many times faster than more of them.
    narrow = codes.astype(np.uint16 if groups <= 2**16 else np.int64)
    return order[np.argsort(narrow[order], kind="stable")]
