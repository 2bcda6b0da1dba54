"""Which rows of one table occur in another, by a fingerprint of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlflow_ext.evaluation.predictions import Array

if TYPE_CHECKING:
    import pandas as pd

MISSING = "\0"  # no text of a table


def find_shared(
    rows: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str], *, once: bool = False
) -> Array:
    """Find the rows that occur in another table.

    Rows are alike when they hold the same values, whatever the types: 1 is 1.0, a category is its
    text, a missing value is a missing value. They are compared by 64 bits, so that two rows which
    differ are taken for one with a chance of 5e-20.

    Args:
        rows: The rows that are asked about.
        others: The other table.
        columns: Columns of both that are compared.
        once: Leave rows alone that occur more than once in either table: they are common, and
            prove nothing.

    Returns:
        Shape (rows,), True where the row occurs in *others*.

    >>> import pandas as pd
    >>> find_shared(pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [2.0, 3.0]}), ["a"]).tolist()
    [False, True]
    """
    mine, theirs = (_fingerprint(frame[list(columns)]) for frame in (rows, others))
    found: Array = np.isin(mine, theirs)
    return found & ~np.isin(mine, [*_repeated(mine), *_repeated(theirs)]) if once else found


def _repeated(fingerprints: Array) -> Array:
    values, counts = np.unique(fingerprints, return_counts=True)
    return values[counts > 1]


def _fingerprint(frame: pd.DataFrame) -> Array:
    """One unsigned 64 bit number per row."""
    import pandas as pd

    plain = pd.DataFrame({i: _plain(frame.iloc[:, i]) for i in range(frame.shape[1])})
    fingerprints: Array = pd.util.hash_pandas_object(plain, index=False).to_numpy()
    return fingerprints


def _plain(column: pd.Series) -> pd.Series:
    """The values in the one form in which equal ones have equal bytes."""
    import pandas as pd
    from pandas.api import types

    column = column.reset_index(drop=True)
    if types.is_datetime64_any_dtype(column):
        return pd.Series(pd.to_datetime(column, utc=True).dt.as_unit("ns"))
    if types.is_numeric_dtype(column):
        return pd.Series(column.to_numpy(float, na_value=np.nan) + 0.0)  # -0.0 is 0.0
    return column.astype(object).where(column.notna(), MISSING).astype(str)
