"""Is there a slice of the rows in which a model is not good enough?

Two mistakes are possible, and each is held at half of 1 - level, whatever the number of slices. A
slice that is too bad, passed: to show that *every* slice is good enough, a bound at *level* for
each will do (an intersection-union test: Berger, 1982, Technometrics 24:295-300). A slice that is
good enough, failed: among many slices some look bad by luck, so the p-values of all that were
looked at are adjusted together (Holm, 1979, Scandinavian Journal of Statistics 6:65-70).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, NOISE, direction
from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.statistics.confusion import PROPORTIONS, RATIOS, count_confusion
from mlflow_ext.evaluation.statistics.groups import Groups, measure_groups
from mlflow_ext.evaluation.statistics.intervals import LEVEL, z_score
from mlflow_ext.evaluation.statistics.losses import LOSSES
from mlflow_ext.evaluation.statistics.multiplicity import holm, simultaneous_level

if TYPE_CHECKING:
    import pandas as pd

SEARCHABLE = tuple(m for m in METRICS if m in {*RATIOS, *LOSSES, "roc_auc"})
"""Metrics whose intervals hold far out in the tails; resampling does not reach there."""
COLUMNS = ["metric", "by", "slice", "rows", "value", "low", "high", "bound"]
COLUMNS += ["margin", "p_value", "adjusted_p", "verdict"]


def search_slices(
    predictions: Predictions,
    groupings: Sequence[Groups],
    bounds: Mapping[str, float],
    minimum_rows: int,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Measure every slice and say in which of them the model is good enough.

    Args:
        predictions: What the model said.
        groupings: Slices of its rows: each value of a column, or of several.
        bounds: Metric of `SEARCHABLE` -> what it has to reach in every slice. A bound that comes
            from all rows is taken as known, which is cautious, since a slice is part of them.
        minimum_rows: Rows below which a slice is listed, but not looked at.
        level: Confidence of each two-sided interval, and of no slice being failed by luck.

    Returns:
        One row per metric and slice: ``metric``, ``by`` (columns), ``slice`` (``carrier=UA``),
        ``rows``, ``value``, ``low``, ``high``, ``bound``, ``margin`` (by how much the worse
        end of the interval is better than the bound), ``p_value`` (two-sided, of a slice as
        good as the bound, near 1 where it is better), ``adjusted_p`` (for all slices and metrics
        together; NaN where none was looked at) and ``verdict``: *passed*, *failed* or
        *inconclusive*.

    Raises:
        UnknownNameError: A metric cannot be searched.
    """
    import pandas as pd

    for metric in bounds:
        if metric not in SEARCHABLE:
            raise UnknownNameError("metric of slices", metric, SEARCHABLE)
    supported = sum(int((groups.counts >= minimum_rows).sum()) for groups in groupings)
    shared = simultaneous_level(level, max(1, supported * len(bounds)))
    parts = [
        _measure(limit, predictions, groups, (level, shared))
        for limit in bounds.items()
        for groups in groupings
    ]
    return _judge(pd.concat(parts, ignore_index=True), minimum_rows, level)


def name_slices(groups: Groups) -> list[str]:
    """Say each group in words, e.g. ``carrier=UA, origin=JFK``."""
    return [
        ", ".join(f"{column}={value}" for column, value in zip(groups.columns, key, strict=True))
        for key in groups.keys
    ]


def _measure(
    limit: tuple[str, float], predictions: Predictions, groups: Groups, levels: tuple[float, float]
) -> pd.DataFrame:
    """Measure the slices of one grouping: intervals at one level, p-values for the other."""
    (metric, bound), (level, shared) = limit, levels
    table = measure_groups(metric, predictions, groups, level).drop(columns="key")
    is_maximized = direction(metric) == "maximize"
    return table.assign(
        metric=metric,
        by=", ".join(groups.columns),
        slice=name_slices(groups),
        bound=bound,
        margin=table.low - bound if is_maximized else bound - table.high,
        p_value=_count_p_values(limit, predictions, groups)
        if metric in PROPORTIONS
        else _distance_p_values(limit, predictions, groups, shared),
    )


def _judge(table: pd.DataFrame, minimum_rows: int, level: float) -> pd.DataFrame:
    """Add adjusted p-values and verdicts."""
    margin, p_value = table.margin.to_numpy(), table.p_value.to_numpy()
    is_known = (table.rows >= minimum_rows).to_numpy() & ~np.isnan(margin) & ~np.isnan(p_value)
    adjusted = np.full(len(table), np.nan)
    adjusted[is_known] = holm(p_value[is_known])
    is_passed, is_failed = is_known & (margin >= -NOISE), adjusted < 1 - level
    verdict = np.select([is_failed, is_passed], ["failed", "passed"], "inconclusive")
    return table.assign(adjusted_p=adjusted, verdict=verdict)[COLUMNS]


def _count_p_values(limit: tuple[str, float], predictions: Predictions, groups: Groups) -> Array:
    """Of shares of rows: the exact binomial test, which is right far out in the tails as well."""
    from scipy.special import bdtr

    metric, bound = limit
    successes, rows = PROPORTIONS[metric](
        count_confusion(predictions, groups.codes, len(groups.keys))
    )
    tail: Array = bdtr(successes.astype(float), rows, np.clip(bound, 0, 1))
    return np.where(rows > 0, np.minimum(2 * tail, 1), np.nan)


def _distance_p_values(
    limit: tuple[str, float], predictions: Predictions, groups: Groups, shared: float
) -> Array:
    """Of other metrics: by the distance to the bound, in units of the interval that holds for all.

    A p-value is below what Holm first compares it with exactly if that interval excludes the bound;
    from there on it follows the normal distribution.
    """
    from scipy.special import erfc

    (metric, bound), is_maximized = limit, direction(limit[0]) == "maximize"
    table = measure_groups(metric, predictions, groups, shared)
    better_end = table.high if is_maximized else table.low
    missing = np.maximum(bound - table.value if is_maximized else table.value - bound, 0)
    errors = z_score(shared) * missing / abs(better_end - table.value)
    return np.where(missing == 0, 1, erfc(errors / np.sqrt(2)))
