"""The gate ``expectations``: does a table look the way its readers rely on?

The rules are a suite of Great Expectations, plain JSON in ``expectations/``. A rule that fails
blocks what follows unless its ``meta.severity`` says ``warn``. A rule that cannot be evaluated is
an error, never a verdict.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import TableError
from mlflow_ext.gates._checks import check_of
from mlflow_ext.gates._docs import render_data_docs
from mlflow_ext.gates._great_expectations import validate
from mlflow_ext.gates._suite import check_columns, read_suite
from mlflow_ext.gates.config import config_digest, now_ms
from mlflow_ext.gates.record import log_report, table_of
from mlflow_ext.gates.table import read_judged
from mlflow_ext.records import Check, GateReport, Verdict

if TYPE_CHECKING:
    import pandas as pd

SUITES = Path("expectations")


@dataclass(frozen=True, kw_only=True)
class ExpectationsResult:
    """What a suite found out about a table, for the policy and for people."""

    report: GateReport
    """The verdict: one check per expectation."""
    result: dict[str, Any]
    """The validation result of Great Expectations, as plain JSON values."""
    success_percent: float
    """Share of expectations that hold, warnings included, 0 to 100."""
    data_docs: str
    """The Data Docs page: one HTML file that needs no network."""


def run_suite(
    suite: Path, frame: pd.DataFrame, *, table: str, fingerprints: dict[str, str]
) -> ExpectationsResult:
    """Judge a table by a suite.

    Args:
        suite: The suite file, JSON as Great Expectations serialises it.
        frame: The table, at least one row.
        table: Its name.
        fingerprints: Table name -> content fingerprint of the rows in *frame*.

    Returns:
        The report and what belongs to it.

    Raises:
        SuiteError: The suite cannot be read, does not fit the table, or cannot be evaluated.
        TableError: The table is empty.
    """
    document = read_suite(suite)
    if frame.empty:
        fix = "check the source and the months that were read"
        raise TableError(table, "it has no rows", "at least one row to judge", fix)
    check_columns(document["name"], document["expectations"], list(frame.columns))
    rows = frame.reset_index(drop=True)  # GX names rows that break a rule by their index label
    result = validate(document, rows, table)
    report = GateReport(
        gate="expectations",
        subject=f"table:{table}",
        checks=tuple(check_of(outcome, rows) for outcome in result["results"]),
        fingerprints=fingerprints,
        config_digest=config_digest(document),
        created_ms=now_ms(),
    )
    return ExpectationsResult(
        report=report,
        result=result,
        success_percent=float(result["statistics"]["success_percent"]),
        data_docs=render_data_docs(result, report),
    )


def validate_file(suite: str, data: Path) -> ExpectationsResult:
    """Judge a table in a file.

    Args:
        suite: A suite file, or the name of one in the folder ``expectations``.
        data: A ``.parquet``, ``.csv`` or ``.csv.zip`` file, named as the table.

    Returns:
        The report and what belongs to it, bound to the content fingerprint of the file.

    Raises:
        SourceError: The file is missing, truncated or of another format.
        SuiteError: The suite cannot be read, does not fit the table, or cannot be evaluated.
        TableError: The table is empty.
    """
    is_name = not Path(suite).suffix and not Path(suite).exists()
    file = SUITES / f"{suite}.json" if is_name else Path(suite)
    read_suite(file)  # before the data, which takes longer
    judged = read_judged(data)
    return run_suite(file, judged.frame, table=judged.name, fingerprints=judged.fingerprints)


def log_expectations(result: ExpectationsResult) -> None:
    """Log a result in the active run: its report, GX's own JSON, the Data Docs and the counts.

    Raises:
        mlflow.exceptions.MlflowException: There is no run to log to, or the store refuses.
    """
    import mlflow

    table, statistics = table_of(result.report), result.result["statistics"]
    log_report(result.report)
    mlflow.log_text(json.dumps(result.result, indent=2), f"validation/{table}.json")
    mlflow.log_text(result.data_docs, f"validation/{table}.html")
    mlflow.log_metrics(
        {
            f"gx.success_percent.{table}": result.success_percent,
            f"gx.evaluated.{table}": statistics["evaluated_expectations"],
            f"gx.unsuccessful.{table}": statistics["unsuccessful_expectations"],
        }
    )


def summarise(result: ExpectationsResult) -> dict[str, Any]:
    """Return a result as one document: the verdict, every check, and why the failed ones matter."""
    report = result.report
    return {
        "table": table_of(report),
        "verdict": str(report.verdict),
        "success_percent": result.success_percent,
        "fingerprints": report.fingerprints,
        "checks": [_line(check) for check in report.checks],
        "failed": [
            {"check": c.name, "where": c.slice, "why": c.reason, "example": c.example}
            for c in report.checks
            if c.verdict is Verdict.FAILED
        ],
    }


def _line(check: Check) -> dict[str, Any]:
    return {
        "verdict": str(check.verdict),
        "severity": str(check.severity),
        "check": check.name,
        "where": check.slice,
        "observed": check.observed,
        "expected": check.expected,
    }
