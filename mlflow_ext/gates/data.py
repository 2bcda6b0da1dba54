"""The gate ``data``: did the tables pass their validation, these very rows of them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic.dataclasses import dataclass

from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.expectations import run_suite
from mlflow_ext.gates.interface import Gate
from mlflow_ext.gates.record import table_of
from mlflow_ext.gates.suites.document import read_suite
from mlflow_ext.project import STRICT, Text
from mlflow_ext.records import Check, GateReport, Json, Verdict


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataGate(Gate):
    """Every table that a version was trained from, and the rows that judge it, have to be valid."""

    suite: Text | None = None
    """A suite of expectations for the rows that judge the version."""

    def judge(self, candidate: Candidate) -> tuple[Check, ...]:
        """As `Gate.judge`: one check per table."""
        name, known = candidate.subject.name, candidate.subject.fingerprints
        if self.suite is None:
            used = {table: digest for table, digest in known.items() if table != name}
            return judge_tables(candidate.table_reports, used)
        own = {name: known[name]}
        file = candidate.folder / self.suite
        result = run_suite(file, candidate.holdout, table=name, fingerprints=own)
        return judge_tables((*candidate.table_reports, result.report), known)

    def configuration(self, candidate: Candidate) -> Json:
        """As `Gate.configuration`: the suite itself, wherever it lies, and which tables there are.

        Raises:
            SuiteError: It cannot be read.
        """
        suite = read_suite(candidate.folder / self.suite) if self.suite else None
        return {"tables": sorted(candidate.subject.fingerprints), "suite": suite}


def judge_tables(
    reports: Sequence[GateReport], fingerprints: Mapping[str, str]
) -> tuple[Check, ...]:
    """Judge tables by the reports about them.

    Args:
        reports: Reports of the gate ``expectations``, one per table.
        fingerprints: Table name -> fingerprint of the rows that were used.

    Returns:
        One check per table. It passes only if the report passed *and* is about those very rows; a
        table without a report, or a report about a table that was not used, is inconclusive.
    """
    by_table = {table_of(report) or report.subject: report for report in reports}
    tables = sorted(by_table.keys() | fingerprints.keys())
    return tuple(_check(t, by_table.get(t), fingerprints.get(t)) for t in tables)


def _check(table: str, report: GateReport | None, used: str | None) -> Check:
    verdict, reason = _compare(table, report, used)
    return Check(
        name=f"validation({table})",
        verdict=verdict,
        expected=f"passed, for fingerprint {used[:12]}…" if used else "passed",
        observed=str(report.verdict) if report else None,
        reason=reason,
    )


def _compare(table: str, report: GateReport | None, used: str | None) -> tuple[Verdict, str]:
    if report is None:
        return Verdict.INCONCLUSIVE, f"no validation report for table '{table}'"
    if used is None:
        return (
            Verdict.INCONCLUSIVE,
            f"the version names no rows of '{table}'",
        )
    judged = report.fingerprints.get(table)
    if judged != used:
        return Verdict.FAILED, f"the report is about other rows: fingerprint {judged}"
    return report.verdict, "; ".join(report.reasons)
