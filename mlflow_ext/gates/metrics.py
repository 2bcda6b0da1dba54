"""The gate ``metrics``: does the model reach the KPIs, and do the rows suffice to say so?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.evaluation.metrics import check_direction, reaches, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.intervals import interval
from mlflow_ext.evaluation.statistics.power import rows_for_interval
from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT, Kpi
from mlflow_ext.records import Check, Verdict


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MetricsGate(Gate):
    """Every KPI has to be reached by the confidence bound of its metric, not by the point."""

    kpis: Annotated[tuple[Kpi, ...], Field(min_length=1)]
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the two-sided interval whose worse end is compared."""

    def __post_init__(self) -> None:
        for kpi in self.kpis:
            check_direction(kpi.metric, kpi.direction)

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: one check per KPI."""
        for kpi in self.kpis:
            yield judge_kpi(kpi, candidate.predictions, self.level)


def judge_kpi(kpi: Kpi, predictions: Predictions, level: float = 0.95) -> Check:
    """Compare the confidence interval of a metric with its threshold.

    Args:
        kpi: Metric and threshold; reaching it exactly is enough.
        predictions: What the model said about the holdout.
        level: Confidence of the interval, in (0.5, 1).

    Returns:
        *passed* when the whole interval reaches the threshold, *failed* when none of it does, else
        *inconclusive*, with the rows that would settle it if the value stays as it is. A value that
        is undefined on these rows is inconclusive too.

    Raises:
        UnknownNameError: There is no such metric.
        TableError: The metric needs both classes and finds one.
    """
    value = score_of(kpi.metric, predictions)
    bounds = interval(kpi.metric, predictions, level) if math.isfinite(value) else None
    verdict = _judge(kpi, bounds)
    is_open = verdict is Verdict.INCONCLUSIVE
    return Check(
        name=kpi.metric,
        verdict=verdict,
        expected=f"{'>=' if kpi.direction == 'maximize' else '<='} {kpi.threshold:g}"
        f" at {level:.0%} confidence",
        observed=value if math.isfinite(value) else None,
        interval=bounds,
        rows=predictions.rows,
        rows_needed=rows_for_interval(predictions.rows, value, bounds, kpi.threshold)
        if is_open
        else None,
        reason=_reason(kpi, bounds, is_open),
    )


def _judge(kpi: Kpi, bounds: tuple[float, float] | None) -> Verdict:
    if bounds is None:
        return Verdict.INCONCLUSIVE
    reached = {reaches(bound, kpi.threshold, kpi.direction) for bound in bounds}
    if len(reached) > 1:
        return Verdict.INCONCLUSIVE
    return Verdict.PASSED if reached.pop() else Verdict.FAILED


def _reason(kpi: Kpi, bounds: tuple[float, float] | None, is_open: bool) -> str:
    if bounds is None:
        return f"no finite value of {kpi.metric} and its interval on these rows"
    return f"the rows are too few to tell; {kpi.why}" if is_open else kpi.why
