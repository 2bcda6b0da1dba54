"""``mlflow-ext webhook deliveries``: what was sent, what waits, what came back."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("webhook", metavar="[ID]", required=False)
@format_option
@ask_gated
def command(ask: Ask, *, webhook: str | None) -> None:
    """List the newest deliveries, of one webhook or of all.

    Each with how often it was tried, what came back and when it is tried next.
    """
    emit(ask("webhooks/deliveries", id=webhook))
