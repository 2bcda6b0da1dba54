"""What a pass over the table remembers: small, whatever the rows, unless its docstring says so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import polars as pl

    from mlflow_ext.gates.suites.engines.compiled.table import Batch

StateT = TypeVar("StateT", bound="State")
COMPACT_AT = 1_000_000


class State(ABC):
    """Is fed each batch by the values of its expressions; all batches are evaluated in one pass."""

    expressions: Sequence[pl.Expr]
    """Each yields one value per batch; lists are imploded."""

    @abstractmethod
    def absorb(self, values: Sequence[Any], batch: Batch) -> None:
        """Take in one batch.

        Args:
            values: One value per expression.
            batch: The rows they come from.
        """


class Scalars(State):
    """Named single values that are merged by a function: counts, sums, extremes."""

    def __init__(self, **parts: tuple[pl.Expr, Callable[[Any, Any], Any]]) -> None:
        self.expressions = [expression for expression, _ in parts.values()]
        self._merge = [merge for _, merge in parts.values()]
        self._names = list(parts)
        self._values: list[Any] = [None] * len(parts)

    def absorb(self, values: Sequence[Any], batch: Batch) -> None:
        """Merge; a batch without a value leaves what is known as it is."""
        pairs = zip(self._merge, self._values, values, strict=True)
        self._values = [
            old if new is None else new if old is None else merge(old, new)
            for merge, old, new in pairs
        ]

    def __getitem__(self, name: str) -> Any:
        return self._values[self._names.index(name)]


class Moments(State):
    """Count, mean and sum of squared deviations.

    Source: Chan, Golub, LeVeque (1983), "Algorithms for computing the sample variance".
    """

    def __init__(self, values: pl.Expr) -> None:
        self.expressions = [values.count(), values.mean(), values.var(ddof=0)]
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def absorb(self, values: Sequence[Any], batch: Batch) -> None:
        """Merge the moments of a batch."""
        count, mean, variance = values
        if not count:
            return
        total, apart = self._count + count, mean - self._mean
        self._squares += variance * count + apart * apart * self._count * count / total
        self._mean += apart * count / total
        self._count = total

    def deviation(self) -> float | None:
        """Return the standard deviation of a sample (n - 1), None for fewer than two values."""
        return None if self._count < 2 else float((self._squares / (self._count - 1)) ** 0.5)


class Counts(State):
    """How often each value occurs. Memory grows with the number of distinct values."""

    def __init__(self, values: pl.Expr) -> None:
        counted = values.drop_nulls().value_counts(name="rows")
        self.expressions = [counted.struct.rename_fields(["value", "rows"]).implode()]
        self._parts: list[pl.DataFrame] = []
        self._pending = 0

    def absorb(self, values: Sequence[Any], batch: Batch) -> None:
        """Keep the counts of a batch; compact when as many wait as there are values known."""
        part = values[0].struct.unnest()
        self._parts.append(part)
        self._pending += part.height
        if self._pending > max(COMPACT_AT, 2 * self._parts[0].height):
            self.table()

    def table(self) -> pl.DataFrame:
        """Return the columns ``value`` and ``rows``, ordered by value."""
        import polars as pl

        if len(self._parts) > 1:
            joined = pl.concat(self._parts).group_by("value").agg(pl.col("rows").sum())
            self._parts, self._pending = [joined], 0
        empty = pl.DataFrame(schema={"value": pl.Null, "rows": pl.UInt32})
        return self._parts[0].sort("value") if self._parts else empty


class Pool:
    """The states of one pass."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self._counts: dict[bytes, Counts] = {}

    def add(self, state: StateT) -> StateT:
        """Have *state* fed, and return it."""
        self.states.append(state)
        return state

    def counts(self, values: pl.Expr) -> Counts:
        """Return the counts of *values*; all that ask for the same share them."""
        key = values.meta.serialize()
        if key not in self._counts:
            self._counts[key] = self.add(Counts(values))
        return self._counts[key]
