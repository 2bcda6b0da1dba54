"""Leave a gate's report with the MLflow run: an artifact to read, a tag to search."""

from __future__ import annotations

from mlflow_ext.records import GateReport, to_json

TABLE = "table:"


def table_of(report: GateReport) -> str | None:
    """Return the table a report is about, or None for a report about a model version."""
    is_about_table = report.subject.startswith(TABLE)
    return report.subject.removeprefix(TABLE) if is_about_table else None


def log_report(report: GateReport) -> None:
    """Log *report* in the active run.

    Writes the artifact ``gates/<gate>[-<table>].json`` and the tag ``gate.<gate>[.<table>]``, whose
    value is the verdict.

    Args:
        report: What a gate said.

    Raises:
        mlflow.exceptions.MlflowException: There is no run to log to, or the store refuses.
    """
    import mlflow

    parts = [part for part in (report.gate, table_of(report)) if part]
    mlflow.log_text(to_json(report), f"gates/{'-'.join(parts)}.json")
    mlflow.set_tag("gate." + ".".join(parts), str(report.verdict))
