"""Row conditions: the rows of the table that an expectation is about.

As in pandas, a comparison with a missing value does not hold, except ``!=`` and ``NOT_IN``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind, NotCompiledError, is_among

if TYPE_CHECKING:
    import polars as pl

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LOGIC: dict[str, Callable[[Any, Any], Any]] = {"and": operator.and_, "or": operator.or_}
HOLDS_FOR_MISSING = ("!=", "NOT_IN")
FITTING: dict[Kind, tuple[type, ...]] = {
    Kind.NUMBER: (int, float),
    Kind.TEXT: (str,),
    Kind.BOOL: (bool,),
}


def filter_of(condition: Any, columns: dict[str, Column]) -> pl.Expr:
    """Return a row condition as an expression that is true or false, never null.

    Args:
        condition: As Great Expectations serialises it; a free text is left to it.
        columns: The columns of the table.

    Raises:
        NotCompiledError: It is of a form, or compares types, that is left to Great Expectations.
    """
    kind = condition.get("type") if isinstance(condition, dict) else None
    if kind in LOGIC:
        parts = [filter_of(part, columns) for part in condition["conditions"]]
        return reduce(LOGIC[kind], parts)
    if kind == "nullity":
        column = _named(condition, columns)
        missing = column.values.is_null()
        return missing if condition["is_null"] else missing.not_()
    if kind == "comparison":
        return _compare(condition, _named(condition, columns))
    raise NotCompiledError


def _named(condition: dict[str, Any], columns: dict[str, Column]) -> Column:
    column = columns.get(condition["column"]["name"])
    if column is None or column.kind is Kind.OTHER:
        raise NotCompiledError
    return column


def _compare(condition: dict[str, Any], column: Column) -> pl.Expr:
    import polars as pl

    sign, value = condition["operator"], condition["parameter"]
    is_list = sign in ("IN", "NOT_IN")
    _refuse_other_types(column, value if is_list else [value])
    if is_list:
        inside = is_among(column, value)
        holds = inside if sign == "IN" else inside.not_()
    elif sign in COMPARISONS and (column.kind is Kind.NUMBER or sign in ("==", "!=")):
        holds = COMPARISONS[sign](column.values, pl.lit(value))
    else:
        raise NotCompiledError
    return holds.fill_null(sign in HOLDS_FOR_MISSING)


def _refuse_other_types(column: Column, values: list[Any]) -> None:
    fitting = FITTING.get(column.kind, ())
    if column.is_single or not values or not all(_fits(value, fitting) for value in values):
        raise NotCompiledError


def _fits(value: Any, fitting: tuple[type, ...]) -> bool:
    return isinstance(value, fitting) and (isinstance(value, bool) == (bool in fitting))
