"""Metrics of many groups of rows at once: every value of a column, or of a pair of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_ext.errors import TableError, UnknownNameError
from mlflow_ext.evaluation.metrics import has_classes_for, score_of
from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.slices import MISSING
from mlflow_ext.evaluation.statistics.areas import measure_areas, placements
from mlflow_ext.evaluation.statistics.confusion import RATIOS, count_confusion, ratio
from mlflow_ext.evaluation.statistics.intervals import (
    LEVEL,
    area_interval,
    interval,
    ratio_interval,
)
from mlflow_ext.evaluation.statistics.losses import LOSSES
from mlflow_ext.evaluation.statistics.resampling import FEWEST

if TYPE_CHECKING:
    import pandas as pd

Measured = tuple[Array, Array]
"""Values of shape (groups,), and lows and highs of shape (2, groups)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Groups:
    """Which group each row belongs to."""

    columns: tuple[str, ...]
    """What the rows are grouped by."""
    keys: tuple[tuple[str, ...], ...]
    """The values of *columns* in each group, as text and in order; a missing value is one, too."""
    codes: Array
    """Shape (rows,): the position of each row's group in *keys*."""
    counts: Array
    """Shape (groups,): rows of each group, at least 1."""


def group_by(frame: pd.DataFrame, columns: Sequence[str]) -> Groups:
    """Group rows by the values of one or more columns; only combinations that occur are groups.

    Args:
        frame: The rows.
        columns: At least one of its columns.

    Raises:
        UnknownNameError: A column is not there.
    """
    codes, keys = np.zeros(len(frame), dtype=np.int64), [()]
    for column in columns:
        of_column, texts = _code(frame, column)
        codes, used = _compress(codes * len(texts) + of_column, len(keys) * len(texts))
        keys = [(*keys[i // len(texts)], texts[i % len(texts)]) for i in used.tolist()]
    counts = np.bincount(codes, minlength=len(keys))
    return Groups(columns=tuple(columns), keys=tuple(keys), codes=codes, counts=counts)


def measure_groups(
    metric: str, predictions: Predictions, groups: Groups, level: float = LEVEL
) -> pd.DataFrame:
    """Compute a metric and its interval in each group, without a loop over rows.

    Counts, losses and areas are summed for all groups together; a metric that is neither is
    computed group by group, and its interval is that of
    `mlflow_ext.evaluation.statistics.intervals.interval`.
    The interval of a mean loss is Student's.

    Args:
        metric: A name in `mlflow_ext.evaluation.metrics.METRICS`, or in
            `mlflow_ext.evaluation.statistics.confusion.PROPORTIONS`.
        predictions: The rows that were grouped, in their order.
        groups: The groups.
        level: In (0, 1), of each interval on its own; see
            `mlflow_ext.evaluation.statistics.multiplicity.simultaneous_level`.

    Returns:
        One row per group, in the order of its keys: ``key`` (a tuple of text), ``rows``, ``value``,
        ``low``, ``high``; NaN where the metric, or an interval, is undefined.

    Raises:
        UnknownNameError: There is no such metric.
        TableError: There is not one prediction for each row that was grouped.

    Source: Student (1908), Biometrika 6:1-25.
    """
    import pandas as pd

    if len(groups.codes) != predictions.rows:
        found = f"{len(groups.codes)} rows, but {predictions.rows} predictions"
        raise TableError("groups", found, "one prediction per row", "score these rows again")
    value, (low, high) = _measure(metric, predictions, groups, level)
    columns = {"rows": groups.counts, "value": value, "low": low, "high": high}
    return pd.DataFrame({"key": pd.Series(groups.keys, dtype=object), **columns})


def _code(frame: pd.DataFrame, column: str) -> tuple[Array, list[str]]:
    """The values of a column as positions in a sorted list of texts."""
    import pandas as pd

    if column not in frame.columns:
        raise UnknownNameError("column", column, [str(name) for name in frame.columns])
    codes, values = pd.factorize(frame[column])
    # -1, which means missing, picks the last. Equal texts, such as 1 and "1", are one group.
    texts = np.array([*map(str, values), MISSING])
    known, position = np.unique(texts, return_inverse=True)
    return position[codes], known.tolist()


def _compress(codes: Array, size: int) -> tuple[Array, Array]:
    """Number the codes that occur, in order; return the new ones and what they stood for."""
    if size > 4 * len(codes) + 1024:
        used, new = np.unique(codes, return_inverse=True)
        return new, used
    occurs = np.bincount(codes, minlength=size) > 0
    return (np.cumsum(occurs) - 1)[codes], np.flatnonzero(occurs)


def _measure(metric: str, predictions: Predictions, groups: Groups, level: float) -> Measured:
    size = len(groups.keys)
    if metric in RATIOS:
        counts = count_confusion(predictions, groups.codes, size)
        return ratio(metric, counts), ratio_interval(metric, counts, level)
    if metric in LOSSES:
        return _means(LOSSES[metric](predictions), groups, level)
    if metric == "roc_auc":
        placed = placements(predictions, groups.codes, size)
        areas = measure_areas(placed, predictions.labels, groups.codes, size)
        return areas.value, area_interval(areas, level)
    return _one_by_one(metric, predictions, groups, level)


def _means(losses: Array, groups: Groups, level: float) -> Measured:
    from scipy.special import stdtrit

    rows = groups.counts
    mean = np.bincount(groups.codes, losses) / rows
    squares = np.bincount(groups.codes, np.square(losses - mean[groups.codes]))
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = stdtrit(rows - 1, (1 + level) / 2) * np.sqrt(squares / (rows - 1) / rows)
    reach = np.where((rows >= FEWEST) & (reach > 0), reach, np.nan)
    return mean, np.stack([np.maximum(mean - reach, 0), mean + reach])


def _one_by_one(metric: str, predictions: Predictions, groups: Groups, level: float) -> Measured:
    order = np.argsort(groups.codes, kind="stable")
    parts = np.split(order, np.cumsum(groups.counts)[:-1])
    found = [_measure_one(metric, predictions.take(part), level) for part in parts]
    values, lows, highs = np.array(found).T
    return values, np.stack([lows, highs])


def _measure_one(metric: str, part: Predictions, level: float) -> tuple[Any, ...]:
    if not has_classes_for(metric, part):
        return np.nan, np.nan, np.nan
    return score_of(metric, part), *(interval(metric, part, level) or (np.nan, np.nan))
