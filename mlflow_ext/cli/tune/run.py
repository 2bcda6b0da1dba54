"""``mlflow-ext tune run``: search for parameters."""

from __future__ import annotations

from typing import Any

import click

from mlflow_ext.cli._options import option
from mlflow_ext.cli.tune._launch import launch, launch_options


@click.command()
@option("--study", default="", help="Name of the study to begin or go on with.")
@option(
    "--sampler",
    metavar="NAME",
    help="What proposes parameters: tpe, random, grid, nsga2, cmaes or qmc.",
)
@option("--pruner", metavar="NAME", help="What stops hopeless trials: median, hyperband, none …")
@launch_options
def command(study: str, **words: Any) -> None:
    """Run the entry point 'tune' of the MLflow project in this folder.

    What is not given here is what MLproject and project.yaml say. Answers no when no trial has
    completed, with the first exception.
    """
    launch(study, words)
