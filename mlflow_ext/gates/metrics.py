"""The gate ``metrics``: does the model reach the KPIs that the project states?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from mlflow_ext.evaluation.metrics import check_direction, reaches
from mlflow_ext.gates.config import config_digest
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.project import Kpi
from mlflow_ext.records import Check, GateReport, Verdict


def judge_metrics(
    kpis: Sequence[Kpi], observed: Mapping[str, float | None], subject: GateSubject
) -> GateReport:
    """Compare each KPI with the value that was observed.

    Args:
        kpis: The thresholds; reaching one exactly is enough, up to the rounding noise that
            `mlflow_ext.evaluation.metrics.reaches` forgives.
        observed: Metric -> value on the rows of *subject*; None or NaN where it is undefined.
        subject: What is judged.

    Returns:
        One check per KPI; a value that is missing or not finite is inconclusive.

    Raises:
        UnknownNameError: A KPI names no known metric.
        DirectionError: A KPI contradicts the direction of its metric.
    """
    return GateReport(
        gate="metrics",
        subject=subject.uri,
        checks=tuple(_check(kpi, observed.get(kpi.metric), subject.rows) for kpi in kpis),
        fingerprints=subject.fingerprints,
        config_digest=config_digest([asdict(kpi) for kpi in kpis]),
        created_ms=subject.created_ms,
    )


def _check(kpi: Kpi, value: float | None, rows: int) -> Check:
    check_direction(kpi.metric, kpi.direction)
    verdict, reason = _judge(kpi, value)
    return Check(
        name=kpi.metric,
        verdict=verdict,
        expected=f"{'>=' if kpi.direction == 'maximize' else '<='} {kpi.threshold:g}",
        observed=value if verdict is not Verdict.INCONCLUSIVE else None,
        rows=rows,
        reason=reason,
    )


def _judge(kpi: Kpi, value: float | None) -> tuple[Verdict, str]:
    if value is None or not math.isfinite(value):
        return Verdict.INCONCLUSIVE, f"no finite value of {kpi.metric} was observed: {value}"
    is_reached = reaches(value, kpi.threshold, kpi.direction)
    return (Verdict.PASSED if is_reached else Verdict.FAILED), kpi.why
