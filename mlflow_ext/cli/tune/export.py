"""``mlflow-ext tune export STUDY``: every trial, for other programs."""

from __future__ import annotations

import csv
from typing import IO

import click

from mlflow_ext.cli._files import output_option, write_document
from mlflow_ext.cli._options import option
from mlflow_ext.cli.tune._studies import studies_option, study_argument


@click.command()
@study_argument
@option(
    "--format",
    "form",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    envvar="MLFLOW_EXT_TUNE_EXPORT_FORMAT",
    help="A table, best trial first; or everything there is, trial by trial.",
)
@output_option
@studies_option
def command(study: str, form: str, output: IO[str], studies: str) -> None:
    """Write every trial of STUDY.

    Asks no server.
    """
    from mlflow_ext.tuning.catalog import find_study
    from mlflow_ext.tuning.leaderboard import describe_trials, make_leaderboard

    found = find_study(studies, study)
    if form == "json":
        write_document(output, {"study": study, "trials": describe_trials(found)})
        return
    board = make_leaderboard(found)
    csv.writer(output, lineterminator="\n").writerows([board["columns"], *board["data"]])
