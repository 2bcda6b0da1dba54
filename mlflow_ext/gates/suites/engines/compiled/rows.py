"""Rules about single rows: which rows they are about, and which of those break them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments
from mlflow_ext.gates.suites.engines.compiled.findings import EXAMPLES, BrokenRows, Conclude
from mlflow_ext.gates.suites.engines.compiled.kinds import Column
from mlflow_ext.gates.suites.engines.compiled.states import State

if TYPE_CHECKING:
    import polars as pl

    from mlflow_ext.gates.suites.engines.compiled.table import Batch

Shape = Callable[[Any], Any]
POSITION = "mlflow_ext position"


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """A rule that each row keeps or breaks on its own."""

    about: pl.Expr | None
    """The row condition: true or false; None for all rows."""
    judged: pl.Expr | None
    """Of these, rows that are not missing, true or false; None for all."""
    holds: pl.Expr
    """True or false for every row that is judged; null counts as kept."""
    columns: Sequence[Column]
    """What is shown of a row that breaks the rule."""
    shape: Shape
    """Turns the tuple of shown values into what Great Expectations shows."""
    mostly: float

    @property
    def considered(self) -> pl.Expr:
        """True for the rows that are judged."""
        import polars as pl

        limits = [limit for limit in (self.about, self.judged) if limit is not None]
        return pl.all_horizontal(limits) if limits else pl.lit(True)

    @property
    def broken(self) -> pl.Expr:
        """True for the rows that break the rule."""
        return self.considered & self.holds.not_()


class RowState(State):
    """Counts of one rule, and the first rows that break it."""

    def __init__(self, rule: RowRule) -> None:
        import polars as pl

        elements = pl.len() if rule.about is None else rule.about.sum()
        self.expressions = [elements, rule.broken.sum()]
        if rule.judged is not None:
            # Not its sum: where nothing is left out, it is a single value for all rows.
            self.expressions.append(pl.len() - rule.considered.not_().sum())
        self._rule = rule
        self._totals = [0] * len(self.expressions)
        self._examples: list[tuple[int, Any]] = []

    def absorb(self, values: Sequence[Any], batch: Batch) -> None:
        """Add up, and look for examples only where there are some."""
        self._totals = [old + (new or 0) for old, new in zip(self._totals, values, strict=True)]
        room = EXAMPLES - len(self._examples)
        if room and values[1]:
            self._examples += first_rows(self._rule, batch, room)

    def found(self) -> BrokenRows:
        """Return what was counted."""
        elements, unexpected, *judged = self._totals
        return BrokenRows(
            elements=elements,
            unexpected=unexpected,
            missing=elements - judged[0] if judged else None,
            examples=self._examples,
        )


def conclude_rows(rule: RowRule, arguments: Arguments) -> Conclude:
    """Have *rule* counted, and return how it is concluded."""
    state = arguments.watch(RowState(rule))
    return lambda: state.found().finding(rule.mostly)


def first_rows(rule: RowRule, batch: Batch, room: int) -> list[tuple[int, Any]]:
    """Return position and values of the first *room* rows of *batch* that break *rule*."""
    import polars as pl

    shown = [pl.col(POSITION), *(column.values for column in rule.columns)]
    indexed = batch.frame.lazy().with_row_index(POSITION, offset=batch.offset)
    found = indexed.filter(rule.broken).head(room).select(shown).collect()
    return [(row[0], rule.shape(row[1:])) for row in found.rows()]


def single(values: Sequence[Any]) -> Any:
    """Show the value of one column."""
    return values[0]


def record(columns: Sequence[Column]) -> Shape:
    """Show a row of several columns by their names."""
    names = [column.name for column in columns]
    return lambda values: dict(zip(names, values, strict=True))


def column_rule(arguments: Arguments, column: Column, holds: pl.Expr) -> RowRule:
    """Return a rule about the values of one column, missing ones not judged."""
    return RowRule(
        about=arguments.condition(),
        judged=column.values.is_not_null(),
        holds=holds,
        columns=[column],
        shape=single,
        mostly=arguments.mostly(),
    )
