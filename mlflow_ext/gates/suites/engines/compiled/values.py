"""Expectations about the values of one column, row by row."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments, is_number
from mlflow_ext.gates.suites.engines.compiled.findings import Range
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind, NotCompiledError, is_among
from mlflow_ext.gates.suites.engines.compiled.patterns import shared_pattern
from mlflow_ext.gates.suites.engines.compiled.rows import RowRule, column_rule, single

if TYPE_CHECKING:
    import polars as pl

EXACT = 2**53  # above, a double no longer holds every whole number


def between(arguments: Arguments) -> RowRule:
    """``min_value``, ``max_value``, each strict or not."""
    column = arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TIME)
    limits = Range.of(arguments, column)
    if limits.low is not None and limits.high is not None:
        arguments.require(limits.low <= limits.high)  # type: ignore[operator]
    return column_rule(arguments, column, limits.allows(_comparable(column)))


def in_set(arguments: Arguments) -> RowRule:
    """Every value is one of ``value_set``."""
    column = arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TEXT)
    return column_rule(arguments, column, _inside(arguments, column))


def not_in_set(arguments: Arguments) -> RowRule:
    """No value is one of ``value_set``."""
    column = arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TEXT)
    return column_rule(arguments, column, _inside(arguments, column).not_())


def match_regex(arguments: Arguments) -> RowRule:
    """``regex`` is found somewhere in every text."""
    column = arguments.column(Kind.TEXT)
    return column_rule(arguments, column, _contains(column, arguments.take("regex")))


def not_match_regex(arguments: Arguments) -> RowRule:
    """``regex`` is found in no text."""
    column = arguments.column(Kind.TEXT)
    return column_rule(arguments, column, _contains(column, arguments.take("regex")).not_())


def match_regex_list(arguments: Arguments) -> RowRule:
    """Any (or all, by ``match_on``) of ``regex_list`` are found in every text."""
    column = arguments.column(Kind.TEXT)
    join = or_ if arguments.choice("match_on", ("any", "all")) == "any" else and_
    return column_rule(arguments, column, reduce(join, _contain(arguments, column)))


def not_match_regex_list(arguments: Arguments) -> RowRule:
    """None of ``regex_list`` is found in any text."""
    column = arguments.column(Kind.TEXT)
    return column_rule(arguments, column, reduce(or_, _contain(arguments, column)).not_())


def lengths_between(arguments: Arguments) -> RowRule:
    """The number of characters lies between ``min_value`` and ``max_value``."""
    column = arguments.column(Kind.TEXT)
    lengths = column.values.str.len_chars().cast(_signed())
    return column_rule(arguments, column, Range.of(arguments).allows(lengths))


def lengths_equal(arguments: Arguments) -> RowRule:
    """The number of characters is ``value``."""
    column, value = arguments.column(Kind.TEXT), arguments.number("value")
    arguments.require(value is not None)
    return column_rule(arguments, column, column.values.str.len_chars().cast(_signed()) == value)


def not_null(arguments: Arguments) -> RowRule:
    """No value is missing."""
    column = _any_kind(arguments)
    return _about_missing(arguments, column, column.values.is_not_null())


def null(arguments: Arguments) -> RowRule:
    """Every value is missing."""
    column = _any_kind(arguments)
    return _about_missing(arguments, column, column.values.is_null())


def _any_kind(arguments: Arguments) -> Column:
    return arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TEXT, Kind.TIME)


def _about_missing(arguments: Arguments, column: Column, holds: pl.Expr) -> RowRule:
    return RowRule(
        about=arguments.condition(),
        judged=None,
        holds=holds,
        columns=[column],
        shape=single,
        mostly=arguments.mostly(),
    )


def _comparable(column: Column) -> pl.Expr:
    import polars as pl

    return column.values.cast(pl.Int64) if column.kind is Kind.BOOL else column.values


def _inside(arguments: Arguments, column: Column) -> pl.Expr:
    values = arguments.values()
    fits: dict[Kind, Callable[[Any], bool]] = {
        Kind.NUMBER: lambda value: is_number(value) and abs(value) < EXACT,
        Kind.BOOL: lambda value: isinstance(value, bool),
        Kind.TEXT: lambda value: isinstance(value, str),
    }
    arguments.require(all(map(fits[column.kind], values)))
    return is_among(column, values)


def _contains(column: Column, regex: Any) -> pl.Expr:
    shared = shared_pattern(regex) if isinstance(regex, str) else None
    if shared is None:
        raise NotCompiledError
    return column.values.str.contains(shared)


def _contain(arguments: Arguments, column: Column) -> list[pl.Expr]:
    patterns = arguments.take("regex_list")
    arguments.require(isinstance(patterns, list) and bool(patterns))
    return [_contains(column, regex) for regex in patterns]


def _signed() -> type[pl.Int64]:
    import polars as pl

    return pl.Int64


RULES: dict[str, Callable[[Arguments], RowRule]] = {
    "expect_column_values_to_be_between": between,
    "expect_column_values_to_be_in_set": in_set,
    "expect_column_values_to_not_be_in_set": not_in_set,
    "expect_column_values_to_match_regex": match_regex,
    "expect_column_values_to_not_match_regex": not_match_regex,
    "expect_column_values_to_match_regex_list": match_regex_list,
    "expect_column_values_to_not_match_regex_list": not_match_regex_list,
    "expect_column_value_lengths_to_be_between": lengths_between,
    "expect_column_value_lengths_to_equal": lengths_equal,
    "expect_column_values_to_not_be_null": not_null,
    "expect_column_values_to_be_null": null,
}
