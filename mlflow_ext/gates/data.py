"""The gate ``data``: was this version trained from tables that passed their validation?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlflow_ext.gates.config import config_digest, now_ms
from mlflow_ext.gates.record import table_of
from mlflow_ext.records import Check, GateReport, Verdict


def judge_data(
    reports: Sequence[GateReport],
    *,
    model: str,
    version: int,
    fingerprints: Mapping[str, str],
) -> GateReport:
    """Judge a model version by the validation reports of the tables it was trained from.

    Args:
        reports: Reports of the gate ``expectations``, one per table.
        model: Name of the registered model.
        version: Its version, from 1.
        fingerprints: Table name -> fingerprint of the rows this version was trained from.

    Returns:
        One check per table. It passes only if the report passed *and* is about those very rows; a
        table without a report, or a report about a table the version does not name, is
        inconclusive.
    """
    by_table = {table_of(report) or report.subject: report for report in reports}
    tables = sorted(by_table.keys() | fingerprints.keys())
    return GateReport(
        gate="data",
        subject=f"models:/{model}/{version}",
        checks=tuple(_check(t, by_table.get(t), fingerprints.get(t)) for t in tables),
        fingerprints=dict(fingerprints),
        config_digest=config_digest({"tables": tables}),
        created_ms=now_ms(),
    )


def _check(table: str, report: GateReport | None, trained: str | None) -> Check:
    verdict, reason = _compare(table, report, trained)
    return Check(
        name=f"validation({table})",
        verdict=verdict,
        expected=f"passed, for fingerprint {trained[:12]}…" if trained else "passed",
        observed=str(report.verdict) if report else None,
        reason=reason,
    )


def _compare(table: str, report: GateReport | None, trained: str | None) -> tuple[Verdict, str]:
    if report is None:
        return Verdict.INCONCLUSIVE, f"no validation report for table '{table}'"
    if trained is None:
        return (
            Verdict.INCONCLUSIVE,
            f"the version names no rows of '{table}'",
        )
    judged = report.fingerprints.get(table)
    if judged != trained:
        return Verdict.FAILED, f"the report is about other rows: fingerprint {judged}"
    return report.verdict, "; ".join(report.reasons)
