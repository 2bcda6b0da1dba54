"""Expectations about the table as a whole: its rows, its columns and their types."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments
from mlflow_ext.gates.suites.engines.compiled.findings import Conclude, Finding, Range
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind, NotCompiledError
from mlflow_ext.gates.suites.engines.compiled.states import Scalars

NATIVE: dict[str, type] = {
    "none": type(None),
    "bool": bool,
    "int": int,
    "long": int,
    "float": float,
    "bytes": bytes,
    "complex": complex,
    "str": str,
    "string_types": str,
    "list": list,
    "dict": dict,
}


def row_count_between(arguments: Arguments) -> Conclude:
    """Judge the number of rows."""
    limits, rows = Range.of(arguments), _count_rows(arguments)
    return lambda: limits.finding(rows())


def row_count_equal(arguments: Arguments) -> Conclude:
    """The number of rows is ``value``."""
    value = arguments.whole("value")
    arguments.require(value is not None)
    rows = _count_rows(arguments)
    return lambda: Finding(success=rows() == value, result={"observed_value": rows()})


def column_count_between(arguments: Arguments) -> Conclude:
    """Judge the number of columns."""
    limits = Range.of(arguments)
    return lambda: limits.finding(len(arguments.table.columns))


def column_count_equal(arguments: Arguments) -> Conclude:
    """The number of columns is ``value``."""
    value, count = arguments.whole("value"), len(arguments.table.columns)
    arguments.require(value is not None)
    return lambda: Finding(success=count == value, result={"observed_value": count})


def columns_match_set(arguments: Arguments) -> Conclude:
    """The columns are those of ``column_set``, or with ``exact_match`` false, among them."""
    wanted = set(_names(arguments, "column_set"))
    exact = arguments.take("exact_match", True)
    arguments.require(exact is None or isinstance(exact, bool))
    unexpected, missing = (
        sorted(set(arguments.table.columns) - wanted),
        sorted(wanted - set(arguments.table.columns)),
    )
    lists = {"unexpected": unexpected, "missing": missing}
    result: dict[str, Any] = {"observed_value": sorted(arguments.table.columns)}
    if unexpected or missing:
        result["details"] = {"mismatched": {word: names for word, names in lists.items() if names}}
    success = not missing and (not exact or not unexpected)
    return lambda: Finding(success=success, result=result)


def columns_match_ordered_list(arguments: Arguments) -> Conclude:
    """The columns are those of ``column_list``, in that order."""
    wanted, found = _names(arguments, "column_list"), list(arguments.table.columns)
    pairs = enumerate(zip_longest(wanted, found))
    mismatched = [
        {"Expected Column Position": position, "Expected": expected, "Found": actual}
        for position, (expected, actual) in pairs
        if expected != actual
    ]
    details = {"details": {"mismatched": mismatched}} if mismatched else {}
    return lambda: Finding(success=not mismatched, result={"observed_value": found, **details})


def column_exists(arguments: Arguments) -> Conclude:
    """``column`` is there, and at ``column_index`` where one above 0 is given."""
    name, index = arguments.take("column"), arguments.whole("column_index")
    arguments.require(isinstance(name, str) and (index is None or index >= 0))
    found = list(arguments.table.columns)
    is_there = found[index : index + 1] == [name] if index else name in found
    return lambda: Finding(success=is_there, result={})


def of_type(arguments: Arguments) -> Conclude:
    """The column's type is ``type_``, a name of NumPy, pandas or Python."""
    return _judge_type(arguments, [arguments.take("type_")], is_list=False)


def in_type_list(arguments: Arguments) -> Conclude:
    """The column's type is among ``type_list``."""
    return _judge_type(arguments, arguments.take("type_list"), is_list=True)


def _count_rows(arguments: Arguments) -> Callable[[], int]:
    condition = arguments.condition()
    if condition is None:
        return lambda: arguments.table.rows
    state = arguments.watch(Scalars(rows=(condition.sum(), operator.add)))
    return lambda: state["rows"] or 0


def _names(arguments: Arguments, key: str) -> list[str]:
    names = arguments.take(key)
    arguments.require(isinstance(names, list) and all(isinstance(name, str) for name in names))
    return list(names)


def _judge_type(arguments: Arguments, names: Any, *, is_list: bool) -> Conclude:
    column = arguments.column()
    arguments.require(isinstance(names, list) and all(isinstance(name, str) for name in names))
    arguments.require(arguments.condition() is None and not column.is_object)
    arguments.require(column.kind is not Kind.OTHER)
    arguments.mostly()
    gaps = arguments.watch(Scalars(nulls=(column.values.null_count(), operator.add)))

    def conclude() -> Finding:
        dtype = _with_gaps(column, gaps["nulls"] or 0)
        known = [each for name in names for each in _known_types(name, is_list=is_list)]
        success = (dtype in known) if is_list else (dtype.type in known)
        return Finding(success=bool(success), result={"observed_value": dtype.type.__name__})

    return conclude


def _with_gaps(column: Column, nulls: int) -> Any:
    """Return the pandas type; NumPy has no missing whole number, and so a float stands for it."""
    import numpy as np

    if nulls and column.dtype.kind in "iu":
        return np.dtype("float64")
    if nulls and column.dtype.kind == "b":
        raise NotCompiledError  # then a column of Python objects
    return column.dtype


def _known_types(name: str, *, is_list: bool) -> Sequence[Any]:
    import numpy as np
    import pandas as pd
    from pandas.core.dtypes import dtypes as extensions

    found: list[Any] = []
    try:
        found.append(np.dtype(name).type)
        found += [np.dtype(name)] if is_list else []
    except TypeError:
        candidates = (getattr(pd, name, None), getattr(extensions, name, None))
        found += [candidate for candidate in candidates if isinstance(candidate, type)]
    native = NATIVE.get(name.lower())
    return [*found, native] if native is not None else found


RULES: dict[str, Callable[[Arguments], Conclude]] = {
    "expect_table_row_count_to_be_between": row_count_between,
    "expect_table_row_count_to_equal": row_count_equal,
    "expect_table_column_count_to_be_between": column_count_between,
    "expect_table_column_count_to_equal": column_count_equal,
    "expect_table_columns_to_match_set": columns_match_set,
    "expect_table_columns_to_match_ordered_list": columns_match_ordered_list,
    "expect_column_to_exist": column_exists,
    "expect_column_values_to_be_of_type": of_type,
    "expect_column_values_to_be_in_type_list": in_type_list,
}
