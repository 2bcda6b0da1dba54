"""The pass: every compiled expectation of a suite is evaluated while the table is read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.document import ASK_FOR_COLUMNS, check_columns, columns_named
from mlflow_ext.gates.suites.engines.compiled.compilation import compile_expectation
from mlflow_ext.gates.suites.engines.compiled.findings import Conclude, Finding
from mlflow_ext.gates.suites.engines.compiled.kinds import NotCompiledError
from mlflow_ext.gates.suites.engines.compiled.states import Pool, State
from mlflow_ext.gates.suites.engines.examples import row_as_json
from mlflow_ext.gates.suites.engines.interface import Document, TableSource, Validation
from mlflow_ext.gates.suites.engines.results import Outcome, outcome_of, plain_json, result_of

if TYPE_CHECKING:
    from mlflow_ext.gates.suites.document import Expectation
    from mlflow_ext.gates.suites.engines.compiled.table import Batch, Table

Example = dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One expectation with its answer, from whichever engine."""

    outcome: Outcome
    example: Example


def judge_table(document: Document, table: Table) -> Validation:
    """Judge a table by a suite, as ``validate`` of this package describes it."""
    entries = document["expectations"]
    check_columns(document["name"], entries, list(table.columns))
    pool = Pool()
    concludes = [_compile(entry, table, pool) for entry in entries]
    read_once(table, pool.states)
    findings = [_conclude(conclude) for conclude in concludes]
    left = [entry for entry, found in zip(entries, findings, strict=True) if found is None]
    others = iter(_hand_over(document, left, table))
    answered = [
        next(others) if found is None else _answer(entry, found, table)
        for entry, found in zip(entries, findings, strict=True)
    ]
    meta = {"engine": "compiled", "handed_to_great_expectations": len(left)}
    return Validation(
        result=result_of(document, [one.outcome for one in answered], meta),
        rows=table.rows,
        columns=tuple(table.columns),
        examples=tuple(one.example for one in answered),
    )


def read_once(table: Table, states: Sequence[State]) -> None:
    """Feed *states* with every row of *table*, all expressions of a batch at a time."""
    named = [
        expression.alias(f"{number}.{place}")
        for number, state in enumerate(states)
        for place, expression in enumerate(state.expressions)
    ]
    columns = {name for expression in named for name in expression.meta.root_names()}
    if not named:
        return
    for batch in table.batches(columns):
        _feed(states, named, batch)


def _feed(states: Sequence[State], named: Sequence[Any], batch: Batch) -> None:
    found = iter(batch.frame.lazy().select(named).collect().iter_columns())
    for state in states:
        state.absorb([next(found)[0] for _ in state.expressions], batch)


def _compile(entry: Expectation, table: Table, pool: Pool) -> Conclude | None:
    try:
        return compile_expectation(entry, table, pool)
    except NotCompiledError:
        return None


def _conclude(conclude: Conclude | None) -> Finding | None:
    try:
        return conclude() if conclude else None
    except NotCompiledError:  # known only once the rows were seen
        return None


def _answer(entry: Expectation, found: Finding, table: Table) -> Answered:
    outcome = outcome_of(plain_json(entry), found.success, plain_json(found.result))
    return Answered(outcome=outcome, example=None if found.success else _example(found, table))


def _example(found: Finding, table: Table) -> Example:
    row = found.row if found.breaks is None else table.find(found.breaks)
    return None if row is None else row_as_json(table.pick([row]), 0)


def _hand_over(document: Document, left: list[Expectation], table: Table) -> list[Answered]:
    """Have Great Expectations judge what is not compiled, on the columns that it names."""
    if not left:
        return []
    from mlflow_ext.gates.suites.engines import pandas

    part = {**document, "expectations": left}
    rows = table.load(_columns_of(left, list(table.columns)))
    judged = pandas.validate(part, TableSource(name=table.name, location=rows))
    outcomes = judged.result["results"]
    pairs = zip(outcomes, judged.examples, strict=True)
    return [Answered(outcome=outcome, example=example) for outcome, example in pairs]


def _columns_of(left: list[Expectation], columns: list[str]) -> list[str] | None:
    """Return the columns that are named anywhere in *left*; None, for all, where one names none."""
    if any(entry["type"] in ASK_FOR_COLUMNS or not columns_named(entry) for entry in left):
        return None
    text = plain_text(left)
    return [name for name in columns if name in text]


def plain_text(entries: list[Expectation]) -> str:
    """Return every text in *entries*: a condition may name a column in the midst of one."""
    return " ".join(str(entry["kwargs"]) for entry in entries)
