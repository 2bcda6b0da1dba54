"""Leave gate reports with the MLflow run: artifacts to read, a tag to search, metrics to plot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mlflow_ext.gates.bar import measured
from mlflow_ext.records import Check, GateReport, to_json

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

TABLE = "table:"
PAGE = "gates/report.html"
"""Where the page of all reports of a run lies among its artifacts."""
LONGEST = 250  # characters that MLflow takes in the name of a metric
UNWRITABLE = re.compile(r"[^\w.\- ]+")


def table_of(report: GateReport) -> str | None:
    """Return the table a report is about, or None for a report about a model version."""
    is_about_table = report.subject.startswith(TABLE)
    return report.subject.removeprefix(TABLE) if is_about_table else None


def log_report(report: GateReport) -> None:
    """Log *report* in the active run.

    Writes the artifact ``gates/<gate>[-<table>].json``, the tag ``gate.<gate>[.<table>]``, whose
    value is the verdict, and a metric ``gate.<gate>[.<table>].<check>[.<slice>]`` for each number
    that was measured.

    Args:
        report: What a gate said.

    Raises:
        mlflow.exceptions.MlflowException: There is no run to log to, or the store refuses.
    """
    import mlflow

    client, run_id = mlflow.MlflowClient(), _active_run_id()
    _log_json(client, run_id, report)
    _log_measurements(client, run_id, report)


def log_reports(
    reports: Sequence[GateReport],
    client: MlflowClient | None = None,
    run_id: str | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Log several reports as `log_report` does, and what `log_summary` does.

    Args:
        reports: What gates said about one subject.
        client: Where the run lives; None: where MLflow is set to.
        run_id: The run; None: the active one.
        tables: As for `log_summary`.

    Raises:
        mlflow.exceptions.MlflowException: There is no run to log to, or the store refuses.
    """
    import mlflow

    store, run = client or mlflow.MlflowClient(), run_id or _active_run_id()
    for report in reports:
        _log_json(store, run, report)
    log_summary(reports, store, run, tables)


def log_summary(
    reports: Sequence[GateReport],
    client: MlflowClient,
    run_id: str,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Log what several reports say: metrics, tags, tables, and `PAGE`; not the reports themselves.

    Args:
        reports: What gates said about one subject.
        client: Where the run lives.
        run_id: The run.
        tables: Gate -> what it has left in the candidate's attachments; each becomes an artifact
            ``gates/tables/<gate>.json``, which MLflow shows as a table.

    Raises:
        mlflow.exceptions.MlflowException: The store refuses.
    """
    from mlflow_ext.gates.page import render_page

    for report in reports:
        _log_measurements(client, run_id, report)
    for gate, table in (tables or {}).items():
        client.log_table(run_id, table, f"gates/tables/{gate}.json")
    subjects = dict.fromkeys(report.subject for report in reports)
    client.log_text(run_id, render_page(reports, ", ".join(subjects)), PAGE)


def measurements(report: GateReport) -> dict[str, float]:
    """Return the metrics of a report: its finite numbers, under names that MLflow takes.

    Where two checks would share a name the first has it; the report itself holds both.
    """
    found: dict[str, float] = {}
    for check in report.checks:
        value = measured(check.observed)
        if value is not None:
            name = ".".join((_stem(report), *_parts(check)))
            found.setdefault(UNWRITABLE.sub("_", name)[:LONGEST], value)
    return found


def _parts(check: Check) -> Iterator[str]:
    yield check.name
    if check.slice:
        yield check.slice


def _active_run_id() -> str:
    import mlflow

    run_id: str = (mlflow.active_run() or mlflow.start_run()).info.run_id
    return run_id


def _stem(report: GateReport) -> str:
    return ".".join(part for part in ("gate", report.gate, table_of(report)) if part)


def _log_json(client: MlflowClient, run_id: str, report: GateReport) -> None:
    parts = [part for part in (report.gate, table_of(report)) if part]
    client.log_text(run_id, to_json(report), f"gates/{'-'.join(parts)}.json")


def _log_measurements(client: MlflowClient, run_id: str, report: GateReport) -> None:
    from mlflow.entities import Metric, RunTag

    metrics = [
        Metric(name, value, report.created_ms, step=0)
        for name, value in measurements(report).items()
    ]
    tag = RunTag(_stem(report), str(report.verdict))
    client.log_batch(run_id, metrics=metrics, tags=[tag])
