"""``mlflow-ext tune list``: the studies that there are."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import format_option
from mlflow_ext.cli._output import emit
from mlflow_ext.cli.tune._studies import describe_summary, studies_option


@click.command()
@studies_option
@format_option
def command(studies: str) -> None:
    """List the studies, with their trials by state and their best values.

    Asks no server. Answers no when there is none.
    """
    from mlflow_ext.tracking.address import hide_password
    from mlflow_ext.tuning.catalog import list_studies

    found = [describe_summary(summary) for summary in list_studies(studies)]
    emit({"place": hide_password(studies), "studies": found}, is_yes=bool(found))
