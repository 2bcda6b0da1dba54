"""Run a suite by an engine that Great Expectations has for tables outside of memory.

The table stays where it is: `sql` and `spark` say what they know of it and how to ask GX about it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.document import check_columns
from mlflow_ext.gates.suites.engines.dialects import Facts, join, judge_type, translate
from mlflow_ext.gates.suites.engines.interface import Document, Validation
from mlflow_ext.gates.suites.engines.results import Outcome, plain_json, result_of
from mlflow_ext.gates.suites.great_expectations import (
    RESULT_FORMAT,
    build_suite,
    import_silently,
    silent_context,
)

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.ephemeral_data_context import (
        EphemeralDataContext,
    )
    from great_expectations.datasource.fluent.interfaces import Batch

Open = Callable[["EphemeralDataContext", str], AbstractContextManager["Batch"]]
"""Adds a data source of the given name to a context and yields the table as a batch of it."""

SOURCE = "table"
POSITION = "position"


def run(document: Document, facts: Facts, dialect: str, open_batch: Open) -> Validation:
    """Judge a table by a suite, with the verdicts that GX on pandas would reach.

    Args:
        document: The suite.
        facts: What is known of the table.
        dialect: Which of `dialects`.
        open_batch: How GX reaches the table; called if any rule needs it.

    Raises:
        SuiteError: The suite names a column that the table lacks, or a rule that GX cannot build.
    """
    expectations = document["expectations"]
    check_columns(document["name"], expectations, facts.types)
    outcomes = {n: judge_type(entry, facts) for n, entry in enumerate(expectations)}
    asked = {n: translate(expectations[n], facts, dialect) for n, o in outcomes.items() if not o}
    found = _ask(document, asked, list(facts.types), open_batch) if asked else {}
    judged = [outcomes[n] or join(entry, found[n]) for n, entry in enumerate(expectations)]
    examples = tuple(_take_example(outcome) for outcome in judged)
    return Validation(
        result=result_of(document, judged, {"engine": dialect}),
        rows=facts.rows,
        columns=tuple(facts.types),
        examples=examples,
    )


def _ask(
    document: Document, asked: dict[int, list[dict[str, Any]]], columns: list[str], open_batch: Open
) -> dict[int, list[Outcome]]:
    """Let GX evaluate rules; it answers in an order of its own, so each one carries its place."""
    import_silently()
    import mlflow_ext.gates.suites.engines._quantiles  # noqa: F401, registers the rule

    places = [(n, part) for n, rules in asked.items() for part in range(len(rules))]
    entries = [{**asked[n][part], "meta": {POSITION: [n, part]}} for n, part in places]
    result = _validate({**document, "expectations": entries}, columns, open_batch)
    by_place = {
        tuple(outcome["expectation_config"]["meta"][POSITION]): outcome
        for outcome in result["results"]
    }
    return {n: [by_place[n, part] for part in range(len(rules))] for n, rules in asked.items()}


def _validate(document: Document, columns: list[str], open_batch: Open) -> dict[str, Any]:
    suite = build_suite(document)
    context = silent_context()
    # GX names the rows that break a rule by these columns: with all of them it shows them whole.
    shape = {**RESULT_FORMAT, "unexpected_index_column_names": columns}
    try:
        with open_batch(context, SOURCE) as batch:
            validated = batch.validate(suite, result_format=shape)
        result: dict[str, Any] = plain_json(
            validated.to_json_dict()  # type: ignore[no-untyped-call]
        )
    finally:
        context.data_sources.delete(SOURCE)  # the current context outlives us
    return result


def _take_example(outcome: Outcome) -> dict[str, Any] | None:
    """Take the rows out of an outcome, which reports need not repeat, and return the first."""
    result = outcome["result"]
    rows = result.pop("partial_unexpected_index_list", None) or []
    values = result.get("partial_unexpected_list") or []
    keys = [value for value in values if isinstance(value, dict)]  # of a key, SQL shows no rows
    return None if outcome["success"] else next(iter([*rows, *keys]), None)
