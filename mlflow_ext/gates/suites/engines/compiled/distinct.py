"""Expectations about which values occur and how often; their memory grows with distinct values."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.aggregates import values_of
from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments, is_number
from mlflow_ext.gates.suites.engines.compiled.findings import EXAMPLES, Conclude, Finding, Range
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind
from mlflow_ext.gates.suites.engines.compiled.states import Counts, Scalars

if TYPE_CHECKING:
    pass

INTERPOLATIONS = ("nearest", "linear", "lower", "higher", "midpoint")
CLOSE = 1e-4  # the relative tolerance that Great Expectations grants a quantile


def value_count(arguments: Arguments) -> Conclude:
    """Judge the number of distinct values."""
    column = arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TEXT, Kind.TIME)
    limits = Range.of(arguments)
    counts = arguments.watch_counts(values_of(arguments, column))
    return lambda: limits.finding(counts.table().height)


def proportion(arguments: Arguments) -> Conclude:
    """Judge distinct values per value that is there; of none, the share is 0."""
    column = arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TEXT, Kind.TIME)
    numbers = Column(name="", kind=Kind.NUMBER, dtype=None)
    limits = Range.of(arguments, numbers)
    values = values_of(arguments, column)
    counts = arguments.watch_counts(values)
    rows = arguments.watch(Scalars(present=(values.count(), operator.add)))
    return lambda: limits.finding(counts.table().height / rows["present"] if rows["present"] else 0)


def in_set(arguments: Arguments) -> Conclude:
    """No value occurs beside those of ``value_set``."""
    return _compare_sets(arguments, forbids=True, demands=False)


def contain_set(arguments: Arguments) -> Conclude:
    """Every value of ``value_set`` occurs."""
    return _compare_sets(arguments, forbids=False, demands=True)


def equal_set(arguments: Arguments) -> Conclude:
    """Those of ``value_set`` occur, and no other."""
    return _compare_sets(arguments, forbids=True, demands=True)


def median(arguments: Arguments) -> Conclude:
    """Judge the median."""
    column = arguments.column(Kind.NUMBER)
    limits, counts = (
        Range.of(arguments, column),
        arguments.watch_counts(values_of(arguments, column)),
    )

    def conclude() -> Finding:
        return limits.finding(_quantile(counts, 0.5, "linear"))

    return conclude


def quantiles(arguments: Arguments) -> Conclude:
    """Judge each of ``quantile_ranges``, exactly, from the counts of the values."""
    column = arguments.column(Kind.NUMBER)
    asked, ranges = _quantile_ranges(arguments)
    method = arguments.take("allow_relative_error") or INTERPOLATIONS[0]
    arguments.require(method in INTERPOLATIONS)
    counts = arguments.watch_counts(values_of(arguments, column))

    def conclude() -> Finding:
        found = [_quantile(counts, share, method) for share in asked]
        inside = [_is_inside(v, limits) for v, limits in zip(found, ranges, strict=True)]
        result = {
            "observed_value": {"quantiles": asked, "values": found},
            "details": {"success_details": inside},
        }
        return Finding(success=all(inside), result=result)

    return conclude


def _compare_sets(arguments: Arguments, *, forbids: bool, demands: bool) -> Conclude:
    column = arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TEXT)
    wanted, values = arguments.values(), values_of(arguments, column)
    counts = arguments.watch_counts(values)

    def conclude() -> Finding:
        found = counts.table()["value"].to_list()
        known, present = set(wanted), set(found)
        surplus = [value for value in found if value not in known] if forbids else []
        absent = [value for value in dict.fromkeys(wanted) if value not in present]
        lacking = absent if demands else []
        result = {"observed_value": None}
        result |= _listed("unexpected", surplus, forbids) | _listed("missing", lacking, demands)
        breaks = values.is_in(surplus[:EXAMPLES]) if surplus else None
        return Finding(success=not surplus and not lacking, result=result, breaks=breaks)

    return conclude


def _listed(word: str, values: list[Any], is_asked: bool) -> dict[str, Any]:
    if not is_asked:
        return {}
    return {f"{word}_count": len(values), f"partial_{word}_list": values[:EXAMPLES]}


def _quantile_ranges(arguments: Arguments) -> tuple[list[float], list[list[float]]]:
    given = arguments.take("quantile_ranges")
    arguments.require(isinstance(given, dict) and set(given) == {"quantiles", "value_ranges"})
    asked, ranges = given["quantiles"], given["value_ranges"]
    arguments.require(len(asked) == len(ranges) and all(map(is_number, asked)))
    arguments.require(all(0 <= share <= 1 for share in asked))
    bounds = [bound for limits in ranges for bound in limits]
    arguments.require(all(len(limits) == 2 for limits in ranges))
    arguments.require(all(bound is None or is_number(bound) for bound in bounds))
    open_ends = (-math.inf, math.inf)
    closed = [
        [end if bound is None else bound for bound, end in zip(limits, open_ends, strict=True)]
        for limits in ranges
    ]
    return list(asked), closed


def _quantile(counts: Counts, share: float, method: str) -> float | None:
    """Return the quantile of all counted values as ``numpy.quantile`` does.

    Source: Hyndman, Fan (1996), "Sample quantiles in statistical packages", type 7.
    """
    table = counts.table()
    until = table["rows"].cum_sum()
    if not table.height:
        return None
    place = (until[-1] - 1) * (share * 100 / 100)  # pandas counts in percent

    def at(position: int) -> float:
        return float(table["value"][int(until.search_sorted(position, side="right"))])

    low, high, apart = at(math.floor(place)), at(math.ceil(place)), place - math.floor(place)
    if method == "linear":
        return low if low == high else low + (high - low) * apart
    ways = {"lower": low, "higher": high, "midpoint": (low + high) / 2}
    return ways[method] if method in ways else at(round(place))


def _is_inside(value: float | None, limits: list[float]) -> bool:
    if value is None:
        return False
    near = any(math.isclose(value, end, rel_tol=0, abs_tol=CLOSE * abs(end)) for end in limits)
    return near or limits[0] <= value <= limits[1]


RULES: dict[str, Callable[[Arguments], Conclude]] = {
    "expect_column_unique_value_count_to_be_between": value_count,
    "expect_column_proportion_of_unique_values_to_be_between": proportion,
    "expect_column_distinct_values_to_be_in_set": in_set,
    "expect_column_distinct_values_to_contain_set": contain_set,
    "expect_column_distinct_values_to_equal_set": equal_set,
    "expect_column_median_to_be_between": median,
    "expect_column_quantile_values_to_be_between": quantiles,
}
