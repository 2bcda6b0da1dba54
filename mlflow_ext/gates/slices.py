"""The gate ``slices``: a good average can hide a bad airport."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.evaluation.metrics import direction, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.binning import cut
from mlflow_ext.evaluation.statistics.groups import Groups, group_by
from mlflow_ext.evaluation.statistics.power import rows_for_interval
from mlflow_ext.evaluation.statistics.slice_search import SEARCHABLE, name_slices, search_slices
from mlflow_ext.gates.acceptance import Accepted
from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.gates.support import check_support
from mlflow_ext.project import STRICT, Text
from mlflow_ext.records import Check, Severity, Verdict

if TYPE_CHECKING:
    import pandas as pd

WORST_FIRST = [Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SliceLimit:
    """What a metric has to reach in every slice: a threshold, or a distance from all rows."""

    metric: Text
    """One of `mlflow_ext.evaluation.statistics.slice_search.SEARCHABLE`."""
    threshold: float | None = None
    """In the unit of the metric."""
    max_drop: Annotated[float, Field(gt=0)] | None = None
    """How much worse than for all rows a slice may be, in the unit of the metric."""

    def __post_init__(self) -> None:
        if self.metric not in SEARCHABLE:
            raise UnknownNameError("metric of slices", self.metric, SEARCHABLE)
        if (self.threshold is None) == (self.max_drop is None):
            raise ValueError("threshold or max_drop, one of them")

    def bound(self, predictions: Predictions) -> float:
        """Return what has to be reached on these rows, in the unit of the metric."""
        if self.threshold is not None or self.max_drop is None:
            return self.threshold or 0.0
        sign = 1 if direction(self.metric) == "maximize" else -1
        return score_of(self.metric, predictions) - sign * self.max_drop

    def say(self, bound: float) -> str:
        """Say *bound* in words."""
        is_maximized = direction(self.metric) == "maximize"
        accepted = Accepted(low=bound) if is_maximized else Accepted(high=bound)
        return f"{accepted} (all rows, {self.max_drop:g} worse)" if self.max_drop else str(accepted)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SlicesGate(Gate):
    """The model has to be good enough in every slice that is large enough to be judged."""

    columns: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Columns of the holdout; the model need not know them. Each value is a slice, a missing one
    too; a number with more than `bins` values is cut at its quantiles."""
    limits: Annotated[tuple[SliceLimit, ...], Field(min_length=1)]
    """At most one per metric."""
    pairs: bool = True
    """Whether the values of each two columns together are slices, too."""
    minimum_rows: Annotated[int, Field(ge=10)] = 100
    """Rows that a slice needs to be judged."""
    small_slices: Severity = Severity.BLOCK
    """Whether a value of one column with fewer rows keeps the gate from passing (block), or is only
    told (warn). A pair of values with fewer is only told: each of the two is judged by itself."""
    bins: Annotated[int, Field(ge=2)] = 10
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of each two-sided interval, and that no slice fails by luck, however many."""

    def __post_init__(self) -> None:
        if len({limit.metric for limit in self.limits}) < len(self.limits):
            raise ValueError("one limit per metric")

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: for each metric and column (or pair) its worst slice, and one check of
        the slices that are too small.

        The table of all slices is left in the candidate's attachments as ``slices``.
        """
        predictions, groupings = candidate.predictions, self._group(candidate.holdout)
        bounds = {limit.metric: limit.bound(predictions) for limit in self.limits}
        table = search_slices(predictions, groupings, bounds, self.minimum_rows, self.level)
        candidate.attachments["slices"] = table
        expected = {limit.metric: limit.say(bounds[limit.metric]) for limit in self.limits}
        yield from judge_slices(table, expected, self.minimum_rows)
        for groups in groupings:
            counts = dict(zip(name_slices(groups), groups.counts.tolist(), strict=True))
            severity = self._severity(groups)
            yield from check_support(", ".join(groups.columns), counts, self.minimum_rows, severity)

    def _severity(self, groups: Groups) -> Severity:
        """Of slices that are too small; a column must not pass without any that is large enough."""
        if len(groups.columns) > 1:
            return Severity.WARN
        is_judged = groups.counts.max() >= self.minimum_rows
        return self.small_slices if is_judged else Severity.BLOCK

    def _group(self, holdout: pd.DataFrame) -> list[Groups]:
        frame = cut(holdout, self.columns, self.bins)
        columns = list(dict.fromkeys(self.columns))
        asked = [*((c,) for c in columns), *(combinations(columns, 2) if self.pairs else ())]
        return [group_by(frame, by) for by in asked]


def judge_slices(
    table: pd.DataFrame, expected: Mapping[str, str], minimum_rows: int
) -> Iterator[Check]:
    """Say for each metric and each kind of slice which is the worst.

    Args:
        table: As of `mlflow_ext.evaluation.statistics.slice_search.search_slices`.
        expected: Metric -> its bound in words.
        minimum_rows: Rows below which a slice is not judged.

    Yields:
        One check per metric and kind of slice that has one with rows enough, about the worst of
        them: *failed* before *inconclusive* before *passed*. ``rows_needed`` are further rows *of
        that slice*.
    """
    compared = int(table.adjusted_p.notna().sum())
    large = table[table.rows >= minimum_rows]
    for (metric, by), part in large.groupby(["metric", "by"], sort=False):
        rank = part.verdict.map(WORST_FIRST.index)
        worst = part.assign(rank=rank).sort_values(["rank", "p_value", "margin"]).iloc[0]
        alike = int((part.verdict == worst.verdict).sum())
        yield _check(
            worst,
            expected[str(metric)],
            f"the worst by {by}: {alike} of {len(part)} {worst.verdict}; p = {worst.adjusted_p:.3g}"
            f", adjusted for {compared} comparisons",
        )


def _check(worst: pd.Series, expected: str, reason: str) -> Check:
    """Make a check of a row of the table."""
    is_known = math.isfinite(worst.adjusted_p)
    interval = (float(worst.low), float(worst.high)) if is_known else None
    verdict = Verdict(worst.verdict)
    return Check(
        name=worst.metric,
        verdict=verdict,
        expected=expected,
        observed=float(worst.value) if math.isfinite(worst.value) else None,
        interval=interval,
        rows=int(worst.rows),
        rows_needed=rows_for_interval(int(worst.rows), worst.value, interval, worst.bound) or None
        if verdict is Verdict.INCONCLUSIVE
        else None,
        slice=worst.slice,
        reason=reason if is_known else "too few of its rows are of one class, or predicted so",
    )
