"""Whether values lie where others have lain: in their range, among their categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ext.evaluation.predictions import Array
from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.intervals import LEVEL, wilson

if TYPE_CHECKING:
    import pandas as pd


def is_ordered(column: pd.Series) -> bool:
    """Tell numbers and times, which have a range, from categories and truth values."""
    from pandas.api import types

    is_number = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
    return bool(is_number or types.is_datetime64_any_dtype(column))


def is_unseen(column: pd.Series, known: pd.Series) -> Array:
    """Find categories that do not occur in *known*; a missing value is a category too.

    Returns:
        Shape (rows of *column*,).

    >>> import pandas as pd
    >>> is_unseen(pd.Series(["a", "b", None]), pd.Series(["a", None])).tolist()
    [False, True, False]
    """
    values = column.astype(object)
    found: Array = ~values.isin(known.dropna().astype(object).unique()).to_numpy()
    return found & values.notna().to_numpy() if known.isna().any() else found


def is_outside(column: pd.Series, known: pd.Series) -> Array:
    """Find values below the least or above the greatest of *known*; a missing one is neither.

    Returns:
        Shape (rows of *column*,); nothing is inside when *known* has no values.
    """
    if known.notna().any():
        found: Array = ((column < known.min()) | (column > known.max())).to_numpy(
            bool, na_value=False
        )
        return found
    return column.notna().to_numpy()


def measure_share(found: Array, level: float = LEVEL) -> Estimate:
    """Estimate the share of rows of which something is true, with the interval of Wilson.

    Args:
        found: Shape (rows,), truth values; at least one.
        level: Confidence of the interval, in (0, 1).
    """
    low, high = wilson(found.sum(), len(found), level)
    return Estimate(value=float(found.mean()), low=float(low), high=float(high), rows=len(found))
