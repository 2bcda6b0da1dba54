"""What a person reads: a line per step while it runs, one page at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow

from mlflow_ext.lineage.steps import StepOutcome
from mlflow_ext.project import Kpi, Project

if TYPE_CHECKING:
    from pipelines.evaluate import Evaluated
    from pipelines.promote import Promoted
    from pipelines.register import Registered

PAGES = {
    "validate": {
        "Data Docs of flights": "validation/flights_raw.html",
        "of weather": "validation/weather_raw.html",
    },
    "features": {"Data Docs": "validation/features.html"},
    "tune": {"study": "study/report.html", "plots": "study/plots.html"},
    "gate": {"all gates": "gates/report.html"},
}
"""Step -> title -> what it leaves to be read, among the artifacts of its run."""


def describe_outcome(outcome: StepOutcome) -> str:
    """Say one step in one line, what it found worth a note below it, and why it refused."""
    line = f"{outcome.name:<9} {outcome.status:<8} {outcome.seconds:6.1f} s  run {outcome.run_id}"
    return "\n".join([line, *(f"      {note}" for note in _notes(outcome))])


def _notes(outcome: StepOutcome) -> tuple[str, ...]:
    output = outcome.output
    return (*getattr(output, "notes", ()), *getattr(output, "refusals", ()))


def summarize(project: Project, outcomes: Sequence[StepOutcome]) -> str:
    """Say what came out: version, stage, alias, KPIs with their thresholds, and where to look.

    Returns:
        Markdown that also reads well as plain text.
    """
    outputs = {outcome.name: outcome.output for outcome in outcomes}
    parts = [f"**{project.name}**: {project.goal}"]
    if "register" in outputs:
        parts.append(_version(outputs["register"], outputs.get("promote")))
    if "evaluate" in outputs:
        parts.append(_kpis(project.kpis, outputs["evaluate"]))
    return "\n\n".join([*parts, _where_to_look()])


def headline(project: Project, outcomes: Sequence[StepOutcome]) -> dict[str, float]:
    """Pick the holdout values of the KPIs, for the job's own line in the table of runs."""
    found = [outcome.output.holdout for outcome in outcomes if outcome.name == "evaluate"]
    names = [kpi.metric for kpi in project.kpis]
    return {f"holdout.{n}": v[n] for v in found for n in names if v[n] is not None}


def describe_run(summary: str, outcomes: Sequence[StepOutcome], experiment_id: str) -> str:
    """Write the description of the job's run: the summary, a link to each step, and their notes."""
    rows = ["| step | status | seconds | run | pages |", "|---|---|---|---|---|"]
    for one in outcomes:
        address = f"#/experiments/{experiment_id}/runs/{one.run_id}"
        pages = PAGES.get(one.name, {}).items()
        links = ", ".join(f"[{title}]({address}/artifacts/{path})" for title, path in pages)
        run = f"[{one.run_id[:8]}]({address})"
        rows.append(f"| {one.name} | {one.status} | {one.seconds:.1f} | {run} | {links} |")
    notes = [f"- {one.name}: {note}" for one in outcomes for note in _notes(one)]
    return "\n\n".join([summary, "\n".join(rows), "\n".join(notes)])


def _version(registered: Registered, promoted: Promoted | None) -> str:
    line = f"model `{registered.model}` version **{registered.version}**"
    if promoted is None:
        return line
    alias = ", ".join(f"`@{alias}`" for alias in promoted.aliases) or "none"
    reasons = [f"- {reason}" for reason in promoted.refusals]
    return "\n".join([f"{line}, stage **{promoted.stage}**, alias {alias}", *reasons])


def _kpis(kpis: Sequence[Kpi], evaluated: Evaluated) -> str:
    rows = ["| KPI (holdout) | value | threshold |", "|---|---|---|"]
    for kpi in kpis:
        sign = "≥" if kpi.direction == "maximize" else "≤"
        value = evaluated.holdout[kpi.metric]
        shown = "undefined" if value is None else f"{value:.4f}"
        rows.append(f"| {kpi.metric} | {shown} | {sign} {kpi.threshold} |")
    return "\n".join(rows)


def _where_to_look() -> str:
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        return f"Look at it: {uri}"
    here = uri.replace(f"{Path.cwd()}/", "")  # the command is meant for the folder of the project
    return f"Look at it: `mlflow ui --backend-store-uri {here}`"
