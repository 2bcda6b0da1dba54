"""``mlflow-ext webhook remove ID``: an address is told no more."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("webhook", metavar="ID")
@format_option
@ask_gated
def command(ask: Ask, *, webhook: str) -> None:
    """Stop telling an address; what still waits for it is given up.

    ID is as in 'webhook list'.
    """
    emit(ask("webhooks/delete", id=webhook))
