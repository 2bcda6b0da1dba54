"""Where the studies are, and how one is described."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._options import option

if TYPE_CHECKING:
    from mlflow_ext.tuning.catalog import StudySummary


def default_studies() -> str:
    """Return the folder in which a project keeps the journals of its studies."""
    return str(Path(os.environ.get("MLFLOW_EXT_HOME", ".mlflow_ext")) / "studies")


study_argument = click.argument("study")
studies_option = option(
    "--studies",
    envvar="MLFLOW_EXT_STUDIES",
    metavar="FOLDER|URL",
    default=default_studies,
    show_default="MLFLOW_EXT_HOME/studies, else .mlflow_ext/studies",
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
