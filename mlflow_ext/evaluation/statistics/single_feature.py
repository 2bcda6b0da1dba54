"""How well one feature alone tells the classes apart: what leaks the outcome does so perfectly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.statistics.areas import measure_areas, placements
from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.intervals import LEVEL, area_interval

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5


def measure_feature(feature: pd.Series, labels: Array, level: float = LEVEL) -> Estimate:
    """Measure the ROC AUC of one feature as if it were the prediction.

    A number is taken as it is, rising or falling with the outcome, missing ones below all others. A
    category is taken as the share of positives that it has in the *other* folds: in its own it
    would look predictive by remembering.

    Args:
        feature: Shape (rows,): numbers, truth values, times or categories.
        labels: Shape (rows,), 0 or 1, both of them.
        level: Confidence of the interval, in (0, 1).

    Returns:
        The area, at least 0.5 for numbers, and its interval, in [0, 1].
    """
    numbers = _as_numbers(feature)
    score = _encode(feature, labels) if numbers is None else _rank(numbers)
    areas = measure_areas(placements(Predictions("feature", labels, score)), labels)
    low, high = area_interval(areas, level)[:, 0]
    value = float(areas.value[0])
    if numbers is not None and value < 0.5:
        value, low, high = 1 - value, 1 - high, 1 - low
    return Estimate(value=value, low=float(low), high=float(high), rows=len(labels))


def _as_numbers(feature: pd.Series) -> Array | None:
    """The values as numbers; None for categories."""
    from pandas.api import types

    if types.is_datetime64_any_dtype(feature):
        return feature.astype("int64").where(feature.notna()).to_numpy(dtype=float)
    if types.is_numeric_dtype(feature):
        return feature.to_numpy(dtype=float, na_value=np.nan)
    return None


def _rank(numbers: Array) -> Array:
    """Numbers in [0, 1] in the same order; equal ones stay equal."""
    values, ranks = np.unique(np.where(np.isnan(numbers), -np.inf, numbers), return_inverse=True)
    return ranks / len(values)


def _encode(feature: pd.Series, labels: Array) -> Array:
    """The share of positives that the category of each row has in the other folds.

    Source: Micci-Barreca (2001), ACM SIGKDD Explorations 3(1):27-32; out of fold, so that a
    category of one row says nothing about that row.
    """
    codes, names = feature.astype(object).factorize(use_na_sentinel=False)
    fold = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    cell, shape = fold * len(names) + codes, (FOLDS, len(names))
    positives = np.bincount(cell, labels, minlength=np.prod(shape)).reshape(shape)
    rows = np.bincount(cell, minlength=np.prod(shape)).reshape(shape)
    elsewhere = positives.sum(axis=0) - positives, rows.sum(axis=0) - rows
    base = labels.mean()
    # One row of prior weight: a category that occurs nowhere else says what is true of all.
    share: Array = (elsewhere[0] + base) / (elsewhere[1] + 1)
    found: Array = share[fold, codes]
    return found
