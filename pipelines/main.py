"""The steps in order, the settings they read, and one run of them under one MLflow run."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import mlflow

from mlflow_ext.data.sources import locate
from mlflow_ext.data.versions import writing_artifacts
from mlflow_ext.errors import MlflowExtError, NoTrialCompletedError, UnknownNameError
from mlflow_ext.interruption import interrupted_by_sigterm
from mlflow_ext.lineage.provenance import provenance
from mlflow_ext.lineage.steps import (
    PROCESS_TAG,
    Flow,
    InputFile,
    Step,
    StepOutcome,
    run_flow,
)
from mlflow_ext.process import current_process
from mlflow_ext.project import Project, Search, adjust_search, load_project, project_digest
from mlflow_ext.registry.connection import check_answers
from mlflow_ext.tracking.active import active_run, ending_active_runs
from pipelines.evaluate import evaluate
from pipelines.features import features
from pipelines.gate import gate
from pipelines.ingest import ingest
from pipelines.preflight import check_project
from pipelines.promote import promote
from pipelines.register import is_registered, register
from pipelines.split import Problem
from pipelines.summary import describe_outcome, describe_run, headline, summarize
from pipelines.train import train
from pipelines.tune import StudyChoice, tune
from pipelines.validate import validate

PROJECT_FILE = Path("project.yaml")
NO_VERDICT = 2
SEARCH_OPTIONS = ("n_trials", "timeout", "workers", "engine", "sampler", "pruner")
"""What the command line may say in the place of project.yaml's search."""
STEPS = (
    Step(function=ingest),
    Step(function=validate),
    Step(function=features),
    Step(function=tune),
    Step(function=train),
    Step(function=evaluate),
    Step(function=register, still_holds=is_registered),
    Step(function=gate, is_reusable=False),
    Step(function=promote, is_reusable=False),
)


def run(until: str, options: Mapping[str, Any]) -> int:
    """Run the flow up to *until* and say how it ended.

    Args:
        until: Name of the last step wanted.
        options: Values of the command line (`pipelines.__main__`).

    Returns:
        Exit code: 0 yes, 1 a gate or suite said no or no trial completed, 2 no verdict.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        with interrupted_by_sigterm(), ending_active_runs():
            outcomes = _run_logged(until, options)
    except KeyboardInterrupt:
        click.echo("interrupted; the same command goes on where this one has stopped", err=True)
        return NO_VERDICT
    except NoTrialCompletedError as error:
        click.echo(f"no model: {error}")
        return 1
    except MlflowExtError as error:
        click.echo(f"error: {error}", err=True)
        return NO_VERDICT
    except Exception:
        traceback.print_exc()  # Python itself would end with 1, which reads as "no"
        return NO_VERDICT
    return 1 if outcomes[-1].status == "refused" else 0


def _run_logged(until: str, options: Mapping[str, Any]) -> tuple[StepOutcome, ...]:
    project = load_project(PROJECT_FILE)
    check_project(project)
    flow = Flow(
        steps=STEPS,
        settings=_settings(project, options),
        reuse=options["reuse"],
        introduce=partial(_introduce, project, options),
    )
    check_answers(mlflow.MlflowClient())
    with mlflow.start_run() as run:  # goes on with the run that `mlflow run` has begun for us
        mlflow.set_tags(_job_tags(project, options))
        _introduce(project, options)
        outcomes = run_flow(flow, until=until, announce=_announce)
        summary = summarize(project, outcomes)
        description = describe_run(summary, outcomes, run.info.experiment_id)
        mlflow.set_tag("mlflow.note.content", description)
        mlflow.log_metrics(headline(project, outcomes))
        click.echo(summary)
        if outcomes[-1].status == "refused":
            mlflow.end_run("FAILED")
    return outcomes


def _job_tags(project: Project, options: Mapping[str, Any]) -> dict[str, str]:
    return {
        **provenance(),  # `mlflow run` has begun this run without asking the plugins
        PROCESS_TAG: current_process(),
        "mlflow.runName": f"{project.name} {options['through']}",
    }


def _introduce(project: Project, options: Mapping[str, Any]) -> None:
    """Write on the active run which problem it works on: name, digest, file."""
    mlflow.set_tags(
        {
            "mlflow_ext.project": project.name,
            "mlflow_ext.project_digest": project_digest(PROJECT_FILE),
            "through": options["through"],
        }
    )
    with writing_artifacts(active_run()):
        mlflow.log_artifact(str(PROJECT_FILE), "project")


def _settings(project: Project, options: Mapping[str, Any]) -> dict[str, Any]:
    """Name every value that a step may ask for."""
    problem = Problem(
        columns=project.features,
        target=project.target,
        split=project.split,
        through=options["through"],
        decision_threshold=project.decision_threshold,
    )
    sources = {name: locate(name, s.location, Path()) for name, s in project.sources.items()}
    return {
        "project": project,
        "problem": problem,
        "through": options["through"],
        "split": project.split,
        "sources": project.sources,
        "source_files": {name: InputFile.at(path) for name, path in sources.items()},
        "suites": {table: _suite(Path(file)) for table, file in project.gates.suites.items()},
        "columns": project.features,
        "target": project.target,
        "search": _search(project.search, options),
        "study": _choose_study(project, options),
        "time_column": project.time_column,
        "slices": project.slices,
        "promotion": project.promotion,
    }


def _search(search: Search, options: Mapping[str, Any]) -> Search:
    asked = {name: options.get(name) for name in SEARCH_OPTIONS}
    return adjust_search(search, {name: value for name, value in asked.items() if value})


def _choose_study(project: Project, options: Mapping[str, Any]) -> StudyChoice:
    anew = "" if options["reuse"] else f"-{uuid4().hex[:6]}"
    rule = project.promotion.stages.get("Production")
    champion = (project.promotion.model, rule.alias if rule else "")
    return StudyChoice(name=options["study"], suffix=anew, champion=champion)


def _suite(path: Path) -> InputFile:
    if not path.is_file():
        known = [str(file) for file in sorted(path.parent.glob("*.json"))]
        raise UnknownNameError("suite", str(path), known, str(PROJECT_FILE))
    return InputFile.at(path)


def _announce(outcome: StepOutcome) -> None:
    position = [step.name for step in STEPS].index(outcome.name) + 1
    click.echo(f"[{position}/{len(STEPS)}] {describe_outcome(outcome)}", err=True)
