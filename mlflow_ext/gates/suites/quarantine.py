"""Rows that break a blocking rule, set aside in a file that a person can look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.gates.suites.document import Expectation, label, severity_of
from mlflow_ext.gates.suites.engines.interface import Document, TableSource
from mlflow_ext.records import Severity

if TYPE_CHECKING:
    import polars as pl

    from mlflow_ext.gates.suites.engines.compiled.rows import RowRule, RowState
    from mlflow_ext.gates.suites.engines.compiled.table import Batch, Table

BROKEN = "_broken"
"""The column that names the rules which a row breaks."""


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """Rows that were set aside."""

    file: Path
    """Parquet: the first of them, with the column ``_broken``."""
    rows: int
    """How many there are in all."""
    rules: tuple[str, ...]
    """The failed rules whose rows these are."""


def quarantine(
    document: Document, source: TableSource, folder: Path, limit: int = 10_000
) -> Quarantined | None:
    """Write the rows that break at least one failed blocking rule to ``folder/TABLE.parquet``.

    A rule that its ``mostly`` lets pass has no broken rows. Only rules that a single row keeps or
    breaks count, as far as the compiled engine knows them: not repeated keys, not sums.

    Args:
        document: The suite.
        source: Rows in memory, or a file.
        folder: Created where it is missing; the file appears whole or not at all.
        limit: Most rows that are written.

    Returns:
        What was set aside, or None where no row breaks such a rule, or the table is elsewhere.

    Raises:
        SourceError: The file cannot be read.
        TableError: A column has no type that Parquet knows.
    """
    from mlflow_ext.gates.suites.engines.compiled.table import has_usual_names, open_table

    rows = source.location
    if isinstance(rows, str) or not (isinstance(rows, Path) or has_usual_names(rows)):
        return None
    table = open_table(source.name, rows)
    rules = _failed_rules(document["expectations"], table)
    if not rules:
        return None
    found, total = _collect(rules, table, limit)
    file = _write(found, table, folder)
    return Quarantined(file=file, rows=total, rules=tuple(rules))


def _failed_rules(expectations: Sequence[Expectation], table: Table) -> dict[str, RowRule]:
    from mlflow_ext.gates.suites.engines.compiled.compilation import compile_row_rule
    from mlflow_ext.gates.suites.engines.compiled.rows import RowState
    from mlflow_ext.gates.suites.engines.compiled.run import read_once

    states: dict[str, tuple[RowRule, RowState]] = {}
    for entry in expectations:
        rule = compile_row_rule(entry, table)
        if rule and severity_of(entry) is Severity.BLOCK:
            states[_name(entry)] = rule, RowState(rule)
    read_once(table, [state for _, state in states.values()])
    return {
        name: rule
        for name, (rule, state) in states.items()
        if not state.found().finding(rule.mostly).success
    }


def _name(entry: Expectation) -> str:
    from mlflow_ext.gates.suites.checks import condition_of

    where = condition_of(entry["kwargs"].get("row_condition"))
    return f"{label(entry)} where {where}" if where else label(entry)


def _collect(rules: dict[str, RowRule], table: Table, limit: int) -> tuple[pl.DataFrame, int]:
    """Return position and broken rules of the first rows, and the number of all of them."""
    import polars as pl

    from mlflow_ext.gates.suites.engines.compiled.rows import POSITION

    parts, total = [pl.DataFrame(schema={POSITION: pl.UInt32, BROKEN: pl.String})], 0
    columns = {name for rule in rules.values() for name in rule.broken.meta.root_names()}
    for batch in table.batches(columns):
        broken = _broken_rows(rules, batch)
        parts.append(broken.head(max(0, limit - total)))
        total += broken.height
    return pl.concat(parts), total


def _broken_rows(rules: dict[str, RowRule], batch: Batch) -> pl.DataFrame:
    import polars as pl

    from mlflow_ext.gates.suites.engines.compiled.rows import POSITION

    named = [pl.when(rule.broken).then(pl.lit(name)) for name, rule in rules.items()]
    indexed = batch.frame.lazy().with_row_index(POSITION, offset=batch.offset)
    names = pl.concat_str(named, separator="; ", ignore_nulls=True).alias(BROKEN)
    return indexed.select(POSITION, names).filter(pl.col(BROKEN) != "").collect()


def _write(found: pl.DataFrame, table: Table, folder: Path) -> Path:
    from pyarrow import parquet

    from mlflow_ext.data.fingerprint import to_arrow

    rows = table.pick(found.to_series(0).to_list()).reset_index(drop=True)
    rows[BROKEN] = found[BROKEN].to_list()
    folder.mkdir(parents=True, exist_ok=True)
    file, partial = folder / f"{table.name}.parquet", folder / f".{table.name}.partial"
    parquet.write_table(to_arrow(rows), partial)
    return partial.replace(file)
