"""Expectations about one number computed from a column."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments
from mlflow_ext.gates.suites.engines.compiled.findings import Conclude, Range
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind
from mlflow_ext.gates.suites.engines.compiled.states import Moments, Scalars

if TYPE_CHECKING:
    import polars as pl


def values_of(arguments: Arguments, column: Column) -> pl.Expr:
    """Return the values of *column* that the expectation is about; null where it is not."""
    import polars as pl

    condition = arguments.condition()
    return column.values if condition is None else pl.when(condition).then(column.values)


def mean(arguments: Arguments) -> Conclude:
    """Judge the arithmetic mean."""
    import polars as pl

    column = arguments.column(Kind.NUMBER)
    limits, values = Range.of(arguments, column), values_of(arguments, column)
    total, count = (values.cast(pl.Float64).sum(), operator.add), (values.count(), operator.add)
    state = arguments.watch(Scalars(total=total, count=count))
    return lambda: limits.finding(state["total"] / state["count"] if state["count"] else None)


def total(arguments: Arguments) -> Conclude:
    """Judge the sum; that of no values is 0."""
    column = arguments.column(Kind.NUMBER)
    limits, values = Range.of(arguments, column), values_of(arguments, column)
    state = arguments.watch(Scalars(total=(values.sum(), operator.add)))
    return lambda: limits.finding(state["total"] or 0)


def smallest(arguments: Arguments) -> Conclude:
    """Judge the minimum."""
    column = arguments.column(Kind.NUMBER, Kind.TIME)
    limits, values = Range.of(arguments, column), values_of(arguments, column)
    state = arguments.watch(Scalars(found=(values.min(), min)))
    return lambda: limits.finding(state["found"])


def largest(arguments: Arguments) -> Conclude:
    """Judge the maximum."""
    column = arguments.column(Kind.NUMBER, Kind.TIME)
    limits, values = Range.of(arguments, column), values_of(arguments, column)
    state = arguments.watch(Scalars(found=(values.max(), max)))
    return lambda: limits.finding(state["found"])


def deviation(arguments: Arguments) -> Conclude:
    """Judge the standard deviation of a sample."""
    column = arguments.column(Kind.NUMBER)
    limits = Range.of(arguments, column)
    state = arguments.watch(Moments(values_of(arguments, column)))
    return lambda: limits.finding(state.deviation())


RULES: dict[str, Callable[[Arguments], Conclude]] = {
    "expect_column_mean_to_be_between": mean,
    "expect_column_sum_to_be_between": total,
    "expect_column_min_to_be_between": smallest,
    "expect_column_max_to_be_between": largest,
    "expect_column_stdev_to_be_between": deviation,
}
