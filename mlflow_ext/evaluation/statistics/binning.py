"""Numbers as few classes, so that rows can be grouped by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def cut(frame: pd.DataFrame, columns: Sequence[str], bins: int) -> pd.DataFrame:
    """Replace numbers and times that have many values by the interval they lie in.

    Args:
        frame: The rows; it is not changed.
        columns: Those to look at; what is not there is left to whoever groups by it.
        bins: Most values that are kept as they are, and number of intervals of those that are not:
            between quantiles, so that each holds about as many rows. At least 2.

    Returns:
        All columns, in their order; a missing value stays missing.

    >>> import pandas as pd
    >>> cut(pd.DataFrame({"hour": range(6)}), ["hour"], 2).hour.astype(str).tolist()[2:4]
    ['(-0.001, 2.5]', '(2.5, 5.0]']
    """
    import pandas as pd

    asked = {column: frame[column] for column in columns if column in frame}
    fine = {c: v for c, v in asked.items() if _is_on_a_line(v) and v.nunique() > bins}
    coarse = {column: pd.qcut(v, bins, duplicates="drop") for column, v in fine.items()}
    return frame.assign(**coarse)


def _is_on_a_line(values: pd.Series) -> bool:
    from pandas.api import types

    if types.is_bool_dtype(values.dtype):
        return False
    return types.is_numeric_dtype(values.dtype) or types.is_datetime64_any_dtype(values.dtype)
