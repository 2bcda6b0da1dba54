"""Expectations that a key occurs once.

The pass keeps 64 bits of hash for each row: 8 bytes a row, the only state that grows with them.
Different hashes mean different keys. Rows whose hash occurs twice are read again and compared by
value, as many at a time as fit a fixed amount of memory, so that the count is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments
from mlflow_ext.gates.suites.engines.compiled.findings import EXAMPLES, BrokenRows, Conclude
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind
from mlflow_ext.gates.suites.engines.compiled.records import judged_records
from mlflow_ext.gates.suites.engines.compiled.rows import (
    POSITION,
    RowRule,
    RowState,
    record,
    single,
)
from mlflow_ext.gates.suites.engines.compiled.states import State

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlflow_ext.gates.suites.engines.compiled.table import Batch, Table

HASH = "mlflow_ext hash"
COMPARED_ROWS = 4_000_000  # rows compared by value at a time


def unique(arguments: Arguments) -> Conclude:
    """No value occurs twice; missing ones are not judged."""
    import polars as pl

    column = arguments.column(Kind.NUMBER, Kind.BOOL, Kind.TEXT, Kind.TIME)
    rule = RowRule(
        about=arguments.condition(),
        judged=column.values.is_not_null(),
        holds=pl.lit(True),
        columns=[column],
        shape=single,
        mostly=arguments.mostly(),
    )
    return _conclude(rule, arguments)


def compound_unique(arguments: Arguments) -> Conclude:
    """No combination of ``column_list`` occurs twice; a missing value equals another."""
    import polars as pl

    columns = arguments.column_list(Kind.NUMBER, Kind.BOOL, Kind.TEXT, Kind.TIME)
    rule = RowRule(
        about=arguments.condition(),
        judged=judged_records(arguments, columns),
        holds=pl.lit(True),
        columns=columns,
        shape=record(columns),
        mostly=arguments.mostly(),
    )
    return _conclude(rule, arguments)


class Hashes(State):
    """One hash per judged row."""

    def __init__(self, rule: RowRule) -> None:
        hashes = hash_of(rule.columns)
        self.expressions = [hashes.filter(rule.considered).implode()]
        self._parts: list[np.ndarray] = []

    def absorb(self, values: Sequence[Any], batch: Batch) -> None:
        """Keep the hashes of a batch."""
        self._parts.append(values[0].to_numpy())

    def repeated(self) -> tuple[np.ndarray, int]:
        """Return the hashes that occur more than once, and the number of rows that have them."""
        import numpy as np

        hashes = np.concatenate([np.empty(0, dtype=np.uint64), *self._parts])
        self._parts = []
        hashes.sort()
        same = hashes[1:] == hashes[:-1]
        found = np.unique(hashes[1:][same])
        return found, int(same.sum()) + len(found)


def hash_of(columns: Sequence[Column]) -> pl.Expr:
    """Return 64 bits that are the same for the same key."""
    return key_of(columns).hash()


def key_of(columns: Sequence[Column]) -> pl.Expr:
    """Return the key of a row; -0.0 is 0.0, and every missing value is the same."""
    import polars as pl

    parts = [
        column.values + 0.0 if column.dtype.kind == "f" else column.values for column in columns
    ]
    return pl.struct([part.alias(f"{i}") for i, part in enumerate(parts)])


def _conclude(rule: RowRule, arguments: Arguments) -> Conclude:
    totals, hashes = arguments.watch(RowState(rule)), arguments.watch(Hashes(rule))

    def conclude() -> Any:
        found = totals.found()
        repeated, rows = hashes.repeated()
        examples: list[tuple[int, Any]] = []
        unexpected = 0
        for part in _candidates(rule, arguments.table, repeated, rows):
            broken = part.filter(_is_repeated(part, rule))
            unexpected += broken.height
            examples += [(row[0], rule.shape(row[1:])) for row in broken.head(EXAMPLES).rows()]
        first = sorted(examples, key=lambda example: example[0])[:EXAMPLES]
        counted = BrokenRows(
            elements=found.elements,
            missing=found.missing,
            unexpected=unexpected,
            examples=first,
        )
        return counted.finding(rule.mostly)

    return conclude


def _candidates(
    rule: RowRule, table: Table, repeated: np.ndarray, rows: int
) -> Iterator[pl.DataFrame]:
    """Yield the rows whose hash occurs again, those of one hash together."""
    import polars as pl

    passes = -(-rows // COMPARED_ROWS)
    for number in range(passes):
        wanted = pl.Series(repeated[repeated % passes == number])
        parts = [_rows_with(rule, batch, wanted) for batch in table.batches(_names(rule))]
        yield pl.concat(parts)


def _rows_with(rule: RowRule, batch: Batch, wanted: pl.Series) -> pl.DataFrame:
    import polars as pl

    shown = [pl.col(POSITION), *(column.values for column in rule.columns)]
    indexed = batch.frame.lazy().with_row_index(POSITION, offset=batch.offset)
    hashed = indexed.with_columns(hash_of(rule.columns).alias(HASH))
    return hashed.filter(rule.considered & pl.col(HASH).is_in(wanted)).select(shown).collect()


def _is_repeated(frame: pl.DataFrame, rule: RowRule) -> pl.Series:
    """Tell for each row of *frame* whether its key is there twice."""
    return frame.select(key_of(rule.columns).is_duplicated()).to_series()


def _names(rule: RowRule) -> set[str]:
    return {*rule.considered.meta.root_names(), *(column.name for column in rule.columns)}


RULES: dict[str, Callable[[Arguments], Conclude]] = {
    "expect_column_values_to_be_unique": unique,
    "expect_compound_columns_to_be_unique": compound_unique,
}
