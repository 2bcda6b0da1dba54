"""Columns as the compiled engine sees them: only kinds whose values pandas and Polars share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


class Kind(StrEnum):
    """What the values of a column are; anything else is left to Great Expectations."""

    NUMBER = "number"
    BOOL = "bool"
    TEXT = "text"
    TIME = "time"
    OTHER = "other"


class NotCompiledError(Exception):
    """This expectation, on this table, is left to Great Expectations. Never leaves the engine."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the table."""

    name: str
    kind: Kind
    dtype: Any
    """What pandas calls it, as long as no value is missing."""
    polars: pl.DataType | None = None
    """What Polars calls it; None for a column that Polars does not see."""

    @property
    def values(self) -> pl.Expr:
        """The values as `shared_values` prepares them: missing ones are null."""
        import polars as pl

        return pl.col(self.name)

    @property
    def is_single(self) -> bool:
        """True: pandas compares these numbers in single precision here and there."""
        return str(self.dtype) == "float32"

    @property
    def is_object(self) -> bool:
        """True: pandas holds Python objects here, and some of its operations then differ."""
        return str(self.dtype) == "object"


def kind_of(name: str, dtype: Any, polars: pl.DataType | None) -> Kind:
    """Return the kind of a column from its pandas and its Polars type."""
    import pandas as pd
    import polars as pl

    if polars is None or name == "*" or (name.startswith("^") and name.endswith("$")):
        return Kind.OTHER  # Polars would read such a name as a pattern
    if polars == pl.String:
        return Kind.TEXT if str(dtype) in ("str", "object") else Kind.OTHER
    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        return Kind.TIME if isinstance(dtype, pd.DatetimeTZDtype) else Kind.OTHER
    by_letter = {"i": Kind.NUMBER, "u": Kind.NUMBER, "f": Kind.NUMBER, "b": Kind.BOOL}
    is_odd = polars in (pl.UInt64, pl.Float16)
    return Kind.OTHER if is_odd else (by_letter | {"M": Kind.TIME}).get(dtype.kind, Kind.OTHER)


def shared_values(lazy: pl.LazyFrame, columns: Iterable[Column]) -> pl.LazyFrame:
    """Return the columns whose values pandas and Polars share: NaN is null, numbers are 64 bit."""
    import polars as pl

    return lazy.select(
        column.values.cast(pl.Float64).fill_nan(None)
        if column.dtype.kind == "f"
        else column.values.cast(pl.Int64)
        if column.dtype.kind in "iu"
        else column.values
        for column in columns
        if column.kind is not Kind.OTHER
    )


def is_among(column: Column, values: Sequence[Any]) -> pl.Expr:
    """Return whether a value of *column* is one of *values*; null where it is missing."""
    import polars as pl

    if column.kind is not Kind.NUMBER:
        return column.values.is_in(values)
    if column.dtype.kind != "f" and all(isinstance(value, int) for value in values):
        return column.values.is_in(values)
    return column.values.cast(pl.Float64).is_in([float(value) for value in values])
