"""Where Great Expectations (GX) decides otherwise in SQL and Spark than on pandas, and what we do.

The verdict on a table must not depend on where it lies, and pandas is the measure. The suite files
stay as they are: this module rewrites rules on their way to GX, and joins what comes back.

=================== =================== =================== =================== ===============
matter              pandas              SQL                 Spark               made equal by
=================== =================== =================== =================== ===============
NaN                 missing             the largest number  the largest number  `sql`, `spark`:
                                        (PostgreSQL)                            read as null
names of types      ``int64``           own names; none for own names           `judge_type`
                                        a query
integers, some      ``float64``         integers            integers            `judge_type`
missing
a > b, one missing  breaks the rule     not counted         not counted         `translate`
a = b, both missing breaks the rule     breaks the rule     holds               `translate`
(``neither``)
pair in a set, one  breaks the rule     not counted where   breaks the rule     `translate`
missing                                 the other fits
key, parts missing  missing parts equal never a duplicate   missing parts equal `translate`
quantiles           interpolated        first value at or   approximate; words  `translate`,
                                        above the rank      are refused         `_quantiles`
=================== =================== =================== =================== ===============

Still different: regular expressions are those of Python on pandas, of PostgreSQL there and of Java
in Spark (they agree on classes, groups and anchors); the sum of a column without values is 0 on
pandas and none elsewhere, where the rule fails; with ``ignore_row_if: never``, a row that misses
its whole key is a duplicate in SQL even when it is the only one; of the values that break a rule,
other ones are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mlflow_ext.errors import SuiteError
from mlflow_ext.gates.suites.document import Expectation, label
from mlflow_ext.gates.suites.engines.results import Outcome, outcome_of, raised_text

SQL, SPARK = "sql", "spark"
SHOWN = 20  # unexpected values that an outcome lists, as GX itself does

PAIR = "expect_column_pair_values_a_to_be_greater_than_b"
PAIR_EQUAL = "expect_column_pair_values_to_be_equal"
PAIR_IN_SET = "expect_column_pair_values_to_be_in_set"
KEY = "expect_compound_columns_to_be_unique"
UNIQUE = "expect_column_values_to_be_unique"
PRESENT = "expect_column_values_to_not_be_null"
QUANTILES = "expect_column_quantile_values_to_be_between"
INTERPOLATED = "expect_column_interpolated_quantile_values_to_be_between"
INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest", False, None)
TYPE_KEYS = {
    "expect_column_values_to_be_of_type": "type_",
    "expect_column_values_to_be_in_type_list": "type_list",
}

# What pandas would read a column as -> the names by which GX on pandas knows that.
TYPE_NAMES = {
    "int64": {"int64", "int"},
    "float64": {"float64", "float"},
    "bool": {"bool"},
    "str": {"str"},
    "Timestamp": {"Timestamp"},
    "datetime64": {"datetime64", "datetime64[ns]", "datetime64[us]", "datetime64[ms]"},
}


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """What a column holds."""

    dtype: str
    """As pandas would read it, were no value missing: a key of `TYPE_NAMES` or another name."""
    native: str
    """As the database or Spark calls it."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What one scan and the schema say about a table, NaN counted as missing."""

    rows: int
    types: dict[str, ColumnType]
    missing: frozenset[str]
    """Columns in which at least one value is missing."""


def judge_type(expectation: Expectation, facts: Facts) -> Outcome | None:
    """Judge a rule about the type of a column, by the names of pandas or of where the table lies.

    >>> types = {"n": ColumnType(dtype="int64", native="BIGINT")}
    >>> kwargs = {"column": "n", "type_": "int64"}
    >>> rule = {"type": "expect_column_values_to_be_of_type", "kwargs": kwargs}
    >>> judge_type(rule, Facts(rows=1, types=types, missing=frozenset()))["success"]
    True

    Returns:
        The outcome, or None for a rule that is not about types.
    """
    key = TYPE_KEYS.get(expectation["type"])
    if key is None:
        return None
    kwargs = expectation["kwargs"]
    found, stated = facts.types[kwargs["column"]], kwargs.get(key)
    wanted = stated if isinstance(stated, list) else [stated]
    names = _type_names(found.dtype, kwargs["column"] in facts.missing)
    holds = stated is None or any(w in names or _is_same(w, found.native) for w in wanted)
    return outcome_of(expectation, holds, {"observed_value": found.native})


def translate(expectation: Expectation, facts: Facts, dialect: str) -> list[Expectation]:
    """Return the rules by which GX on *dialect* comes to the verdict of GX on pandas.

    Args:
        expectation: A rule of the suite.
        facts: What is known of the table: where no value is missing, one rule is enough.
        dialect: `SQL` or `SPARK`.

    Returns:
        The rule itself, or its like, and then those for the rows that it overlooks.

    Raises:
        SuiteError: The rule has a row condition in words, which cannot be narrowed.
    """
    kind = expectation["type"]
    if kind == QUANTILES and expectation["kwargs"].get("allow_relative_error") in INTERPOLATIONS:
        return [{**expectation, "type": INTERPOLATED}]
    if kind == PAIR:
        return [expectation, *_one_side_missing(expectation, facts)]
    if kind == PAIR_IN_SET and dialect == SQL:
        return [expectation, *_one_side_unknown(expectation, facts)]
    if kind == PAIR_EQUAL and dialect == SPARK:
        return [expectation, *_both_missing(expectation, facts)]
    if kind == KEY and dialect == SQL:
        return [expectation, *_parts_missing(expectation, facts)]
    return [expectation]


def join(expectation: Expectation, outcomes: Sequence[Outcome]) -> Outcome:
    """Join the outcomes of the rules that *expectation* was translated into.

    Args:
        expectation: The rule of the suite.
        outcomes: In the order of `translate`; where rows break a rule, they are listed whole.
    """
    first, *others = outcomes
    raised = next((o for o in outcomes if raised_text(o)), None)
    if raised or not others:
        return {**(raised or first), "expectation_config": expectation}
    result = {**first["result"], **_recount(outcomes)}
    held = 1 - (result["unexpected_percent"] or 0) / 100
    success = held >= expectation["kwargs"].get("mostly", 1)
    rows = [row for other in others for row in _rows(other)]
    values = [*(result["partial_unexpected_list"] or ()), *(_cut(expectation, r) for r in rows)]
    result["partial_unexpected_list"] = values[:SHOWN]
    result["partial_unexpected_index_list"] = [*_rows(first), *rows][:SHOWN]
    return outcome_of(expectation, success, result)


def _type_names(dtype: str, has_missing: bool) -> set[str]:
    if has_missing and dtype in ("int64", "bool"):
        return TYPE_NAMES["float64"] if dtype == "int64" else {"object"}
    return TYPE_NAMES.get(dtype, {dtype})


def _is_same(wanted: str, native: str) -> bool:
    return wanted.casefold() == native.casefold()


def _one_side_missing(expectation: Expectation, facts: Facts) -> Iterator[Expectation]:
    kwargs = expectation["kwargs"]
    a, b, ignored = kwargs["column_A"], kwargs["column_B"], kwargs.get("ignore_row_if")
    if ignored != "either_value_is_missing":
        if a in facts.missing:
            narrow = () if ignored == "neither" else (_null(b, False),)
            yield _narrowed(expectation, PRESENT, {"column": a}, narrow)
        if b in facts.missing:
            yield _narrowed(expectation, PRESENT, {"column": b}, (_null(a, False),))


def _one_side_unknown(expectation: Expectation, facts: Facts) -> Iterator[Expectation]:
    """SQL does not know whether a pair is in the set when the side that is there would fit."""
    kwargs = expectation["kwargs"]
    a, b = kwargs["column_A"], kwargs["column_B"]
    if kwargs.get("ignore_row_if") != "either_value_is_missing":
        for column, other, side in ((a, b, 1), (b, a, 0)):
            if column in facts.missing:
                fits = _among(other, [pair[side] for pair in kwargs["value_pairs_set"]])
                yield _narrowed(expectation, PRESENT, {"column": column}, (fits,))
        yield from _both_missing(expectation, facts)


def _both_missing(expectation: Expectation, facts: Facts) -> Iterator[Expectation]:
    kwargs = expectation["kwargs"]
    a, b = kwargs["column_A"], kwargs["column_B"]
    if kwargs.get("ignore_row_if") == "neither" and facts.missing.issuperset((a, b)):
        yield _narrowed(expectation, PRESENT, {"column": a}, (_null(b, True),))


def _parts_missing(expectation: Expectation, facts: Facts) -> Iterator[Expectation]:
    """Rows that miss the same parts of the key are duplicates if they agree in the others."""
    key = expectation["kwargs"]["column_list"]
    ignored = expectation["kwargs"].get("ignore_row_if", "all_values_are_missing")
    if ignored == "any_value_is_missing":
        return
    parts = [column for column in key if column in facts.missing]
    for size in range(1, len(parts) + 1):
        for absent in combinations(parts, size):
            rest = [column for column in key if column not in absent]
            narrow = tuple(_null(column, column in absent) for column in key)
            if len(rest) > 1:
                yield _narrowed(expectation, KEY, {"column_list": rest}, narrow)
            elif rest:
                yield _narrowed(expectation, UNIQUE, {"column": rest[0]}, narrow)
            elif ignored == "never":
                yield _narrowed(expectation, PRESENT, {"column": key[0]}, narrow)


def _null(column: str, is_null: bool) -> dict[str, Any]:
    return {"type": "nullity", "column": {"name": column}, "is_null": is_null}


def _among(column: str, values: list[Any]) -> dict[str, Any]:
    name = {"name": column}
    return {"type": "comparison", "column": name, "operator": "IN", "parameter": values}


def _narrowed(
    expectation: Expectation, kind: str, domain: dict[str, Any], narrow: Sequence[dict[str, Any]]
) -> Expectation:
    condition = expectation["kwargs"].get("row_condition")
    if condition and not isinstance(condition, dict):
        raise SuiteError(
            "",
            f"{label(expectation)} has the row condition '{condition}', and values are missing",
            "a row condition as an object, which can be combined with others",
            "write it as ExpectationSuite.to_json_dict() of great_expectations does",
        )
    conditions = [*([condition] if condition else []), *narrow]
    whole = conditions[0] if len(conditions) == 1 else {"type": "and", "conditions": conditions}
    return {"type": kind, "kwargs": {**domain, **({"row_condition": whole} if conditions else {})}}


def _recount(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    first = outcomes[0]["result"]
    # SQL sums nothing up to null.
    unexpected = sum(outcome["result"]["unexpected_count"] or 0 for outcome in outcomes)
    rows, judged = first["element_count"], first["element_count"] - first["missing_count"]
    percent = 100 * unexpected / judged if judged else None
    return {
        "unexpected_count": unexpected,
        "unexpected_percent": percent,
        "unexpected_percent_nonmissing": percent,
        "unexpected_percent_total": 100 * unexpected / rows if rows else None,
    }


def _rows(outcome: Outcome) -> list[dict[str, Any]]:
    return outcome["result"].get("partial_unexpected_index_list") or []


def _cut(expectation: Expectation, row: dict[str, Any]) -> Any:
    """The part of a row that GX shows for this kind of rule."""
    kwargs = expectation["kwargs"]
    if "column_A" in kwargs:
        return [row[kwargs["column_A"]], row[kwargs["column_B"]]]
    return {column: row[column] for column in kwargs["column_list"]}
