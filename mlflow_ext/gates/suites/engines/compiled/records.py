"""Expectations about several columns of one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import combinations
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments, is_number
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind
from mlflow_ext.gates.suites.engines.compiled.rows import RowRule, record

if TYPE_CHECKING:
    import polars as pl

IGNORED_PAIRS = ("both_values_are_missing", "either_value_is_missing", "neither")
IGNORED_RECORDS = ("all_values_are_missing", "any_value_is_missing", "never")
PAIRS = 200  # more are a job for a join


def greater(arguments: Arguments) -> RowRule:
    """``column_A`` is greater than ``column_B``, or with ``or_equal`` not smaller."""
    columns = _pair(arguments, Kind.NUMBER, Kind.TIME)
    first, second = (column.values for column in columns)
    holds = first >= second if arguments.flag("or_equal") else first > second
    return _pair_rule(arguments, columns, holds.fill_null(False))


def equal(arguments: Arguments) -> RowRule:
    """``column_A`` equals ``column_B``; a missing value equals nothing."""
    columns = _pair(arguments, Kind.NUMBER, Kind.TEXT, Kind.TIME)
    first, second = (column.values for column in columns)
    return _pair_rule(arguments, columns, (first == second).fill_null(False))


def pair_in_set(arguments: Arguments) -> RowRule:
    """The pair is one of ``value_pairs_set``; null stands for a missing value."""
    columns = _pair(arguments, Kind.NUMBER, Kind.TEXT, same=False)
    pairs = arguments.take("value_pairs_set")
    arguments.require(isinstance(pairs, list) and 0 < len(pairs) <= PAIRS)
    matches = [_is_pair(arguments, columns, pair) for pair in pairs]
    return _pair_rule(arguments, columns, reduce(or_, matches))


def unique_within_record(arguments: Arguments) -> RowRule:
    """No two columns of ``column_list`` hold the same; a missing value counts as one."""
    columns = arguments.column_list(Kind.NUMBER, Kind.TEXT, Kind.TIME)
    arguments.require(_is_same_type(columns))
    differ = [a.values.ne_missing(b.values) for a, b in combinations(columns, 2)]
    return RowRule(
        about=arguments.condition(),
        judged=judged_records(arguments, columns),
        holds=reduce(and_, differ),
        columns=columns,
        shape=record(columns),
        mostly=arguments.mostly(),
    )


def judged_records(arguments: Arguments, columns: Sequence[Column]) -> pl.Expr:
    """Return which records are judged by ``ignore_row_if``."""
    return _unless_missing(arguments, columns, IGNORED_RECORDS)


def _unless_missing(
    arguments: Arguments, columns: Sequence[Column], options: tuple[str, str, str]
) -> pl.Expr:
    import polars as pl

    all_missing, any_missing, _ = options
    present = [column.values.is_not_null() for column in columns]
    joins = {all_missing: lambda: reduce(or_, present), any_missing: lambda: reduce(and_, present)}
    ignored = arguments.choice("ignore_row_if", options)
    return joins[ignored]() if ignored in joins else pl.lit(True)


def _pair(arguments: Arguments, *kinds: Kind, same: bool = True) -> list[Column]:
    columns = [arguments.column(*kinds, key=key) for key in ("column_A", "column_B")]
    arguments.require(columns[0].name != columns[1].name)
    # What pandas holds as objects it compares in Python, where a missing value raises.
    arguments.require(not any(column.is_object for column in columns))
    arguments.require(not same or _is_same_type(columns))
    return columns


def _is_same_type(columns: Sequence[Column]) -> bool:
    zones = {str(getattr(column.polars, "time_zone", None)) for column in columns}
    return len({column.kind for column in columns}) == 1 and len(zones) == 1


def _pair_rule(arguments: Arguments, columns: Sequence[Column], holds: pl.Expr) -> RowRule:
    return RowRule(
        about=arguments.condition(),
        judged=_unless_missing(arguments, columns, IGNORED_PAIRS),
        holds=holds,
        columns=columns,
        shape=tuple,
        mostly=arguments.mostly(),
    )


def _is_pair(arguments: Arguments, columns: Sequence[Column], pair: Any) -> pl.Expr:
    import polars as pl

    arguments.require(isinstance(pair, list) and len(pair) == 2)
    parts = []
    for column, value in zip(columns, pair, strict=True):
        fits = is_number(value) if column.kind is Kind.NUMBER else isinstance(value, str)
        arguments.require(value is None or fits)
        parts.append(column.values.is_null() if value is None else column.values == pl.lit(value))
    return (parts[0] & parts[1]).fill_null(False)


RULES: dict[str, Callable[[Arguments], RowRule]] = {
    "expect_column_pair_values_a_to_be_greater_than_b": greater,
    "expect_column_pair_values_to_be_equal": equal,
    "expect_column_pair_values_to_be_in_set": pair_in_set,
    "expect_select_column_values_to_be_unique_within_record": unique_within_record,
}
