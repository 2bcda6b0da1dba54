"""The same metrics, subgroup by subgroup: a good average can hide a bad airport."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_ext.errors import TableError, UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, score_of
from mlflow_ext.evaluation.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd

MISSING = "(missing)"
MINIMUM_ROWS = 100


def slice_table(
    frame: pd.DataFrame,
    predictions: Predictions,
    columns: Sequence[str],
    *,
    minimum_rows: int = MINIMUM_ROWS,
) -> pd.DataFrame:
    """Compute every metric for each value of each column.

    Args:
        frame: The rows that were scored, in the order of *predictions*.
        predictions: What the model said about them.
        columns: Columns of *frame* to break down by.
        minimum_rows: Rows below which a slice is listed without metrics.

    Returns:
        One row per (column, value): ``column``, ``value`` (text; a missing value is a slice too),
        ``rows``, ``positive_rate``, ``mean_probability``, ``is_supported``, then the metrics: NaN
        where the slice has too few rows or one class. In the order of *columns*, then by value.

    Raises:
        UnknownNameError: A column is not there.
        TableError: *frame* and *predictions* have different numbers of rows.
    """
    import pandas as pd

    if len(frame) != predictions.rows:
        found = f"{len(frame)} rows, but {predictions.rows} predictions"
        raise TableError("slices", found, "one prediction per row", "score these rows again")
    rows = [
        {"column": column, "value": value, **_measure(predictions.take(mask), minimum_rows)}
        for column in columns
        for value, mask in _masks(frame, column)
    ]
    return pd.DataFrame(rows)


def _masks(frame: pd.DataFrame, column: str) -> list[tuple[str, Any]]:
    if column not in frame.columns:
        raise UnknownNameError("slice column", column, [str(name) for name in frame.columns])
    values = frame[column].astype(object).where(frame[column].notna(), MISSING).astype(str)
    masks = ((str(value), (values == value).to_numpy()) for value in values.unique())
    return sorted(masks, key=lambda pair: pair[0])


def _measure(predictions: Predictions, minimum_rows: int) -> dict[str, Any]:
    is_supported = predictions.rows >= minimum_rows and predictions.has_both_classes
    return {
        "rows": predictions.rows,
        "positive_rate": predictions.positive_rate,
        "mean_probability": float(np.mean(predictions.probability)),
        "is_supported": is_supported,
        **{m: score_of(m, predictions) if is_supported else math.nan for m in METRICS},
    }
