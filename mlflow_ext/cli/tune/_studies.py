"""Where the studies are, and how one is described."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._options import option

if TYPE_CHECKING:
    from mlflow_ext.tuning.catalog import StudySummary
    from mlflow_ext.tuning.rescored import Rescored


def default_studies() -> str:
    """Return where the project here keeps its studies: its database, or a folder of journals."""
    if storage := _named_storage(Path("project.yaml")):
        return storage
    return str(Path(os.environ.get("MLFLOW_EXT_HOME", ".mlflow_ext")) / "studies")


def _named_storage(file: Path) -> str | None:
    from mlflow_ext.errors import ProjectFileError
    from mlflow_ext.project import load_project

    try:
        return load_project(file).search.storage if file.exists() else None
    except ProjectFileError:  # a run says what is wrong with it
        return None


study_argument = click.argument("study")
studies_option = option(
    "--studies",
    envvar="MLFLOW_EXT_STUDIES",
    metavar="FOLDER|URL",
    default=default_studies,
    show_default="storage of project.yaml, else MLFLOW_EXT_HOME/studies or .mlflow_ext/studies",
    help="Where the studies are: a folder of journals, or the URL of a database.",
)


def describe_summary(summary: StudySummary) -> dict[str, Any]:
    """Say what a study has come to, as a document."""
    return {
        "study": summary.name,
        "trials": summary.trials,
        "best": summary.best,
        "best_trial": summary.best_trial,
        "begun_ms": summary.begun_ms,
        "ended_ms": summary.ended_ms,
        "search": summary.search,
        "problem": summary.problem,
    }


def describe_winner(rescored: Rescored | None) -> dict[str, Any]:
    """Say which trial won on fresh rows, as a document; empty where no fresh rows were scored."""
    if rescored is None:
        return {}
    winner = rescored.winner
    return {
        "trial": winner.trial,
        "metric": rescored.metric,
        "fresh_value": winner.fresh_value,
        "interval": winner.interval,
        "level": rescored.level,
        "fresh_rows": rescored.rows,
        "search_value": winner.search_value,
        "optimism": rescored.optimism,
        "params": winner.params,
    }
