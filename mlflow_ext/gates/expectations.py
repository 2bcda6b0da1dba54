"""The gate ``expectations``: does a table look the way its readers rely on?

The rules are a suite of Great Expectations, plain JSON in ``expectations/``. A rule that fails
blocks what follows unless its ``meta.severity`` says ``warn``; one that raises is a failed rule. A
suite that does not fit the table is an error, never a verdict.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import SourceError, TableError
from mlflow_ext.gates.config import config_digest, now_ms
from mlflow_ext.gates.record import log_report, table_of
from mlflow_ext.gates.suites.checks import checks_of
from mlflow_ext.gates.suites.document import read_suite
from mlflow_ext.gates.suites.engines.interface import Document, TableSource
from mlflow_ext.records import Check, GateReport, Verdict

if TYPE_CHECKING:
    import pandas as pd

SUITES = Path("expectations")


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpectationsResult:
    """What a suite found out about a table, for the policy and for people."""

    report: GateReport
    """The verdict: one check per expectation."""
    result: dict[str, Any]
    """The validation result in the form of Great Expectations, as plain JSON values."""
    document: Document
    """The suite."""
    source: TableSource
    """The table."""

    @property
    def success_percent(self) -> float:
        """Share of expectations that hold, warnings included, 0 to 100."""
        return float(self.result["statistics"]["success_percent"])

    @cached_property
    def data_docs(self) -> str:
        """The Data Docs page: one HTML file that needs no network. Imports Great Expectations."""
        from mlflow_ext.gates.suites.docs import render_data_docs

        return render_data_docs(self.result, self.report)


def run_suite(
    suite: Path,
    frame: pd.DataFrame,
    *,
    table: str,
    fingerprints: dict[str, str],
    engine: str = "auto",
) -> ExpectationsResult:
    """Judge rows in memory by a suite.

    Args:
        suite: The suite file, JSON as Great Expectations serialises it.
        frame: The table, at least one row.
        table: Its name.
        fingerprints: Table name -> content fingerprint of the rows in *frame*.
        engine: ``auto``, ``gx`` or ``compiled``.

    Returns:
        The report and what belongs to it.

    Raises:
        SuiteError: The suite cannot be read, or does not fit the table.
        TableError: The table is empty.
    """
    document = read_suite(suite)
    return judge_source(
        document,
        TableSource(name=table, location=frame),
        fingerprints=fingerprints,
        engine=engine,
    )


def validate_file(suite: str, data: Path, *, engine: str = "auto") -> ExpectationsResult:
    """Judge a table in a file.

    Args:
        suite: A suite file, or the name of one in the folder ``expectations``.
        data: A ``.parquet``, ``.csv`` or ``.csv.zip`` file, named as the table.
        engine: ``auto``, ``gx``, ``compiled`` or ``spark``.

    Returns:
        The report and what belongs to it, bound to the content fingerprint of the file.

    Raises:
        SourceError: The file is missing, truncated or of another format, or changes meanwhile.
        SuiteError: The suite cannot be read, or does not fit the table.
        TableError: The table is empty.
    """
    from mlflow_ext.data.fingerprint import fingerprint_file

    document = read_suite(locate_suite(suite))  # before the data, which takes longer
    name = data.name.partition(".")[0]
    before = fingerprint_file(data), _state(data)
    found = judge_source(
        document,
        TableSource(name=name, location=data),
        fingerprints={name: before[0].digest},
        engine=engine,
    )
    if _state(data) != before[1]:
        found_words = f"{data} was written to while it was judged"
        raise SourceError(name, found_words, "a file that rests", "judge it again")
    return found


def locate_suite(suite: str) -> Path:
    """Return the file of a suite that is given as a file, or by its name in ``expectations``."""
    is_name = not Path(suite).suffix and not Path(suite).exists()
    return SUITES / f"{suite}.json" if is_name else Path(suite)


def judge_source(
    document: Document, source: TableSource, *, fingerprints: dict[str, str], engine: str = "auto"
) -> ExpectationsResult:
    """Judge a table by a suite, wherever it is.

    Args:
        document: The suite, as `read_suite` returns it.
        source: The table.
        fingerprints: Table name -> content fingerprint, where there is one.
        engine: ``auto``, ``gx``, ``compiled``, ``sql`` or ``spark``.

    Returns:
        The report and what belongs to it.

    Raises:
        SuiteError: The suite does not fit the table.
        SourceError: The table cannot be read.
        TableError: The table is empty.
        UnknownNameError: There is no such engine.
    """
    from mlflow_ext.gates.suites.engines.choice import choose_engine

    validation = choose_engine(engine, source).validate(document, source)
    if not validation.rows:
        fix = "check the source and the months that were read"
        raise TableError(source.name, "it has no rows", "at least one row to judge", fix)
    report = GateReport(
        gate="expectations",
        subject=f"table:{source.name}",
        checks=checks_of(validation),
        fingerprints=fingerprints,
        config_digest=config_digest(document),
        created_ms=now_ms(),
    )
    return ExpectationsResult(
        report=report, result=validation.result, document=document, source=source
    )


def log_expectations(result: ExpectationsResult) -> None:
    """Log a result in the active run.

    Its report, the result in the form of Great Expectations, the Data Docs, the counts, and the
    rows that break a blocking rule, ``validation/TABLE.quarantine.parquet``.

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
    if result.report.verdict is Verdict.FAILED:
        _log_quarantine(result)


def _log_quarantine(result: ExpectationsResult) -> None:
    import mlflow

    from mlflow_ext.gates.suites.quarantine import quarantine

    with TemporaryDirectory() as folder:
        found = quarantine(result.document, result.source, Path(folder))
        if found:
            file = found.file.rename(Path(folder, f"{result.source.name}.quarantine.parquet"))
            mlflow.log_artifact(str(file), "validation")
            mlflow.log_metric(f"gx.quarantined.{result.source.name}", found.rows)


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


def _state(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _line(check: Check) -> dict[str, Any]:
    return {
        "verdict": str(check.verdict),
        "severity": str(check.severity),
        "check": check.name,
        "where": check.slice,
        "observed": check.observed,
        "expected": check.expected,
    }
