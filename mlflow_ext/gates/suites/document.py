"""Read a suite and hold it against a table, before Great Expectations is imported."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mlflow_ext.errors import SuiteError, nearest, one_of
from mlflow_ext.records import Severity

Expectation = dict[str, Any]
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")
# These ask whether columns are there, so naming an absent one is a question, not a mistake.
ASK_FOR_COLUMNS = ("expect_column_to_exist", "expect_table_columns_to_match_ordered_list")
NATIVE_SEVERITY = {"critical": Severity.BLOCK, "warning": Severity.WARN, "info": Severity.WARN}


def read_suite(file: Path) -> dict[str, Any]:
    """Read a suite as Great Expectations serialises it.

    Args:
        file: A JSON file with ``name`` and ``expectations``.

    Returns:
        The parsed document, every expectation with a type, kwargs and a known severity.

    Raises:
        SuiteError: The file is missing, not JSON, not a suite, or names an unknown severity.
    """
    document = _parse(file)
    expectations = document.get("expectations") if isinstance(document, dict) else None
    if not expectations or not all(_is_expectation(entry) for entry in expectations):
        raise SuiteError(
            file.name,
            "it is not a suite of expectations",
            "an object with 'name' and a list 'expectations' of objects with 'type' and 'kwargs'",
            f"write {file} with ExpectationSuite.to_json_dict() of great_expectations",
        )
    for expectation in expectations:
        severity_of(expectation, file.name)
    return {"name": file.stem, **document}


def severity_of(expectation: Expectation, suite: str = "") -> Severity:
    """Return what a failure means: ``meta.severity``, else GX's own field, else ``block``.

    >>> severity_of({"type": "expect_x", "meta": {"severity": "warn"}})
    <Severity.WARN: 'warn'>

    Raises:
        SuiteError: The severity is not a known one.
    """
    stated = (expectation.get("meta") or {}).get("severity")
    native = expectation.get("severity") or "critical"
    known = NATIVE_SEVERITY if stated is None else {str(level): level for level in Severity}
    word = str(native if stated is None else stated)
    if word not in known:
        found = f"{label(expectation)} has the unknown severity '{word}'"
        guess = nearest(word, known) or "block"
        raise SuiteError(suite, found, one_of(known), f"write '{guess}' instead of '{word}'")
    return known[word]


def label(expectation: Expectation) -> str:
    """Name an expectation by its type and columns.

    >>> label({"type": "expect_x", "kwargs": {"column_A": "temp", "column_B": "dewp"}})
    'expect_x(temp, dewp)'
    """
    columns = ", ".join(columns_named(expectation))
    return f"{expectation['type']}({columns})" if columns else str(expectation["type"])


def columns_named(expectation: Expectation) -> list[str]:
    """Return the columns that an expectation is about; none for one about the whole table.

    >>> columns_named({"type": "expect_x", "kwargs": {"column_list": ["a", "b"]}})
    ['a', 'b']
    """
    kwargs = expectation.get("kwargs") or {}
    values = [kwargs[key] for key in COLUMN_KEYS if key in kwargs]
    return [name for value in values for name in (value if isinstance(value, list) else [value])]


def check_columns(suite: str, expectations: list[Expectation], columns: Collection[str]) -> None:
    """Refuse a suite that names a column which the table does not have.

    Raises:
        SuiteError: With the suite, the expectation, the column and the nearest column.
    """
    for expectation in expectations:
        kwargs = expectation["kwargs"]
        named = [*columns_named(expectation), *_conditioned(kwargs.get("row_condition"))]
        absent = [name for name in named if name not in columns]
        if absent and expectation["type"] not in ASK_FOR_COLUMNS:
            guess = nearest(absent[0], columns)
            raise SuiteError(
                suite,
                f"{label(expectation)} names the column '{absent[0]}', which the table lacks",
                one_of(columns),
                f"write '{guess}' instead of '{absent[0]}'" if guess else "correct the column name",
            )


def _parse(file: Path) -> Any:
    expected = "a suite of expectations in JSON"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        others = sorted(path.stem for path in file.parent.glob("*.json"))
        found = f"cannot read {file}: {error.strerror}"
        guess = nearest(file.stem, others) or (others[0] if others else None)
        fix = f"use '{guess}'" if guess else f"create {file}"
        raise SuiteError(file.name, found, expected, fix) from None
    except ValueError as error:
        raise SuiteError(file.name, f"not JSON: {error}", expected, f"correct {file}") from None


def _is_expectation(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("type"), str)
        and isinstance(entry.get("kwargs"), dict)
        and isinstance(entry.get("meta") or {}, dict)
    )


def _conditioned(condition: Any) -> Iterator[str]:
    """Columns of a row condition; one written as free text is left to Great Expectations."""
    if isinstance(condition, dict):
        if "column" in condition:
            yield condition["column"]["name"]
        for part in condition.get("conditions", ()):
            yield from _conditioned(part)
