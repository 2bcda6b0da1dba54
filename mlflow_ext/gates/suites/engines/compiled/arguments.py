"""The arguments of one expectation, read strictly: what is unusual is left to Great Expectations.

Great Expectations coerces (``"5"`` to 5.0, 2.5 to 2, a date to midnight) or refuses; a compiled
rule takes only what means the same without coercion.
"""

from __future__ import annotations

from datetime import datetime
from re import compile as pattern
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.conditions import filter_of
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, Kind, NotCompiledError
from mlflow_ext.gates.suites.engines.compiled.states import Counts, Pool, StateT

if TYPE_CHECKING:
    import polars as pl

    from mlflow_ext.gates.suites.document import Expectation
    from mlflow_ext.gates.suites.engines.compiled.table import Table

INSTANT = pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?")
Bound = int | float | datetime


class Arguments:
    """Hands out each argument once, and knows which ones nobody asked for."""

    def __init__(self, expectation: Expectation, table: Table, pool: Pool) -> None:
        self.table = table
        self._kwargs = dict(expectation["kwargs"])
        self._left = set(self._kwargs)
        self._pool = pool

    def watch(self, state: StateT) -> StateT:
        """Have *state* fed by the pass. Every argument must have been taken before."""
        self.refuse_rest()
        return self._pool.add(state)

    def watch_counts(self, values: pl.Expr) -> Counts:
        """Have *values* counted by the pass. Every argument must have been taken before."""
        self.refuse_rest()
        return self._pool.counts(values)

    def take(self, key: str, default: Any = None) -> Any:
        """Return an argument as it is written, or *default* where it is not."""
        self._left.discard(key)
        return self._kwargs.get(key, default)

    def refuse_rest(self) -> None:
        """Leave the expectation to Great Expectations when it has an argument of no known name."""
        self.require(not self._left)

    def require(self, is_usual: bool) -> None:
        """Leave the expectation to Great Expectations unless *is_usual*.

        Raises:
            NotCompiledError: It is not.
        """
        if not is_usual:
            raise NotCompiledError

    def column(self, *kinds: Kind, key: str = "column") -> Column:
        """Return a column of one of *kinds*; none given means any."""
        return self._column(self.take(key), kinds)

    def column_list(self, *kinds: Kind) -> list[Column]:
        """Return the columns of ``column_list``, at least two different ones."""
        names = self.take("column_list")
        self.require(isinstance(names, list) and len(set(map(str, names))) == len(names) >= 2)
        return [self._column(name, kinds) for name in names]

    def _column(self, name: Any, kinds: tuple[Kind, ...]) -> Column:
        found = self.table.columns.get(name) if isinstance(name, str) else None
        if found is None or (kinds and found.kind not in kinds):
            raise NotCompiledError
        return found

    def condition(self) -> pl.Expr | None:
        """Return the row condition as a filter without nulls, or None."""
        self.require(self.take("condition_parser") is None)
        condition = self.take("row_condition")
        return None if condition is None else filter_of(condition, self.table.columns)

    def mostly(self) -> float:
        """Return the share of rows that must hold, 0 to 1."""
        share = self.take("mostly", 1.0)
        self.require(is_number(share) and 0 <= share <= 1)
        return float(share)

    def flag(self, key: str) -> bool:
        """Return a switch, off unless it is given."""
        value = self.take(key, False)
        self.require(isinstance(value, bool))
        return bool(value)

    def number(self, key: str) -> float | None:
        """Return a number; texts and truth values are none."""
        value: float | None = self.take(key)
        self.require(value is None or is_number(value))
        return value

    def whole(self, key: str) -> int | None:
        """Return a whole number."""
        value: int | None = self.take(key)
        self.require(value is None or (isinstance(value, int) and not isinstance(value, bool)))
        return value

    def bound(self, key: str, column: Column) -> Bound | None:
        """Return a bound for the values of *column*: a number, or for times an instant.

        The instant has a time zone exactly where the column has one.
        """
        if column.kind is not Kind.TIME:
            return self.number(key)
        text = self.take(key)
        if text is None:
            return None
        self.require(isinstance(text, str) and INSTANT.fullmatch(text) is not None)
        instant = datetime.fromisoformat(text)
        has_zone = getattr(column.polars, "time_zone", None) is not None
        self.require((instant.tzinfo is not None) == has_zone)
        return instant

    def values(self, key: str = "value_set") -> list[Any]:
        """Return a list of at least one text, number or truth value."""
        values = self.take(key)
        self.require(isinstance(values, list) and bool(values))
        self.require(all(isinstance(value, str | int | float) for value in values))
        return list(values)

    def choice(self, key: str, options: tuple[str, ...]) -> str:
        """Return one of *options*, the first unless another is given."""
        value = self.take(key, options[0])
        self.require(value in options)
        return str(value)


def is_number(value: Any) -> bool:
    """Tell whether *value* is a number; to Python a truth value is one too, to a suite it is not.

    >>> is_number(2.5), is_number(True)
    (True, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)
