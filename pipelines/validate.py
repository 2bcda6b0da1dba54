"""Step 2: judge the raw tables. A failed suite stops everything that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow_ext.data.versions import read_table
from mlflow_ext.gates.expectations import log_expectations, run_suite
from mlflow_ext.lineage.steps import InputFile
from mlflow_ext.records import GateReport, TableVersion, Verdict
from pipelines.ingest import Ingested


@dataclass(frozen=True, kw_only=True)
class Validated:
    """What the suites say about the raw tables."""

    reports: tuple[GateReport, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """One line per failed expectation; empty when training may go on."""
        return refusals_of(self.reports)

    @property
    def notes(self) -> tuple[str, ...]:
        """One line per warning, which stops nothing."""
        return warnings_of(self.reports)


def validate(suites: Mapping[str, InputFile], ingest: Ingested) -> Validated:
    """Run the suites of the raw tables and log what they found.

    Raises:
        SuiteError: A suite cannot be read, or names a column that is not there.
    """
    tables = (ingest.flights_raw, ingest.weather_raw)
    return Validated(reports=tuple(judge_table(suites[table.name], table) for table in tables))


def judge_table(suite: InputFile, table: TableVersion) -> GateReport:
    """Run one suite on one stored table; result, Data Docs and verdict go to the active run."""
    fingerprints = {table.name: table.fingerprint.digest}
    result = run_suite(suite.path, read_table(table), table=table.name, fingerprints=fingerprints)
    log_expectations(result)
    return result.report


def refusals_of(reports: Sequence[GateReport]) -> tuple[str, ...]:
    """Say why *reports* stop the pipeline; empty when all passed."""
    stopping = [report for report in reports if report.verdict is not Verdict.PASSED]
    return tuple(f"{report.subject}: {line}" for report in stopping for line in report.reasons)


def warnings_of(reports: Sequence[GateReport]) -> tuple[str, ...]:
    """Say what the suites of *reports* only warn of."""
    return tuple(
        f"warning: {report.subject}: {line}" for report in reports for line in report.warnings
    )
