"""Type of an expectation -> what it watches in the pass, and how it is concluded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ext.gates.suites.engines.compiled import (
    aggregates,
    distinct,
    keys,
    records,
    shape,
    values,
)
from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments
from mlflow_ext.gates.suites.engines.compiled.findings import Conclude
from mlflow_ext.gates.suites.engines.compiled.kinds import NotCompiledError
from mlflow_ext.gates.suites.engines.compiled.rows import RowRule, conclude_rows
from mlflow_ext.gates.suites.engines.compiled.states import Pool

if TYPE_CHECKING:
    from mlflow_ext.gates.suites.document import Expectation
    from mlflow_ext.gates.suites.engines.compiled.table import Table

ROW_RULES = values.RULES | records.RULES
OTHER_RULES = aggregates.RULES | distinct.RULES | keys.RULES | shape.RULES


def compile_expectation(expectation: Expectation, table: Table, pool: Pool) -> Conclude:
    """Return how *expectation* is concluded after the pass.

    Args:
        expectation: One entry of a suite.
        table: The table that will be read.
        pool: Takes what has to be watched.

    Raises:
        NotCompiledError: It is left to Great Expectations.
    """
    kind, arguments = expectation["type"], Arguments(expectation, table, pool)
    if kind in ROW_RULES:
        return conclude_rows(ROW_RULES[kind](arguments), arguments)
    if kind not in OTHER_RULES:
        raise NotCompiledError
    conclude = OTHER_RULES[kind](arguments)
    arguments.refuse_rest()
    return conclude


def compile_row_rule(expectation: Expectation, table: Table) -> RowRule | None:
    """Return *expectation* as a rule about single rows, or None when it is not compiled as one."""
    arguments = Arguments(expectation, table, Pool())
    try:
        rule = ROW_RULES[expectation["type"]](arguments)
        arguments.refuse_rest()
    except (KeyError, NotCompiledError):
        return None
    return rule
