"""What is concluded from the states: success and result in the form of Great Expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.compiled.arguments import Arguments, Bound
from mlflow_ext.gates.suites.engines.compiled.kinds import Column

if TYPE_CHECKING:
    import polars as pl

EXAMPLES = 20  # rows that break a rule are counted in full, but only so many are kept


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answer to one expectation."""

    success: bool
    result: dict[str, Any]
    row: int | None = None
    """Position of the first row that breaks the rule, where the rule is about rows."""
    breaks: pl.Expr | None = None
    """Instead of *row*: true for the rows that hold a value which a set forbids."""


Conclude = Callable[[], Finding]
"""Called after the pass. May raise `NotCompiledError` still."""


@dataclass(frozen=True, kw_only=True)
class BrokenRows:
    """Rows that break a rule: their number, and the first few."""

    elements: int
    """Rows that the rule is about, missing ones included."""
    missing: int | None
    """Rows that were not judged; None where a missing value is what the rule is about."""
    unexpected: int
    examples: Sequence[tuple[int, Any]]
    """Position and value of the first ones."""

    def finding(self, mostly: float) -> Finding:
        """Hold the share of good rows against *mostly*; no rows to judge satisfy any rule."""
        judged = self.elements - (self.missing or 0)
        values = [value for _, value in self.examples]
        result = {
            "element_count": self.elements,
            "unexpected_count": self.unexpected,
            "unexpected_percent": _percent(self.unexpected, judged),
            "partial_unexpected_list": values,
            **self._missing(judged),
            "partial_unexpected_counts": _count(values),
            "partial_unexpected_index_list": [row for row, _ in self.examples],
        }
        return Finding(
            success=not judged or (judged - self.unexpected) / judged >= mostly,
            result=result,
            row=self.examples[0][0] if self.examples else None,
        )

    def _missing(self, judged: int) -> dict[str, Any]:
        if self.missing is None:
            return {}
        return {
            "missing_count": self.missing,
            "missing_percent": _percent(self.missing, self.elements),
            "unexpected_percent_total": _percent(self.unexpected, self.elements),
            "unexpected_percent_nonmissing": _percent(self.unexpected, judged),
        }


@dataclass(frozen=True, kw_only=True)
class Range:
    """Where an observed value must lie."""

    low: Bound | None
    high: Bound | None
    strict_low: bool
    strict_high: bool

    @classmethod
    def of(cls, arguments: Arguments, column: Column | None = None) -> Range:
        """Read ``min_value`` and ``max_value``: of a column, else whole numbers.

        Raises:
            NotCompiledError: Neither is given.
        """

        def read(key: str) -> Bound | None:
            return arguments.bound(key, column) if column else arguments.whole(key)

        found = cls(
            low=read("min_value"),
            high=read("max_value"),
            strict_low=arguments.flag("strict_min"),
            strict_high=arguments.flag("strict_max"),
        )
        arguments.require(found.low is not None or found.high is not None)
        return found

    def allows(self, values: Any) -> Any:
        """Tell whether *values*, one or a whole expression, lie inside."""
        allowed: Any = True
        if self.low is not None:
            allowed = values > self.low if self.strict_low else values >= self.low
        if self.high is not None:
            below = values < self.high if self.strict_high else values <= self.high
            allowed = below if allowed is True else allowed & below
        return allowed

    def finding(self, observed: Any) -> Finding:
        """Judge one observed value; none at all, or NaN, satisfies no range."""
        is_missing = observed is None or observed != observed  # noqa: PLR0124
        success = not is_missing and bool(self.allows(observed))
        return Finding(success=success, result={"observed_value": None if is_missing else observed})


def _percent(part: int, whole: int) -> float | None:
    return part / whole * 100 if whole else None


def _count(values: list[Any]) -> list[dict[str, Any]]:
    hashable = [tuple(v.values()) if isinstance(v, dict) else v for v in values]
    common = Counter(hashable).most_common()
    return [{"value": value, "count": count} for value, count in common]
