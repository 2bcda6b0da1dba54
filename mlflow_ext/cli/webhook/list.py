"""``mlflow-ext webhook list``: who is told what."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option
from mlflow_ext.cli._output import emit


@click.command()
@format_option
@ask_gated
def command(ask: Ask) -> None:
    """List the addresses that are told what happens."""
    emit(ask("webhooks/list"))
