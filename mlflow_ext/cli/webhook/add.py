"""``mlflow-ext webhook add URL``: have an address told what happens."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option, option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("url")
@option(
    "--event",
    "events",
    multiple=True,
    default=["*"],
    show_default=True,
    metavar="KIND",
    help="A kind of ledger line, e.g. transition; can be given several times, * is every kind.",
)
@option("--secret", help="What requests are signed with, as MLflow signs; better in the variable.")
@format_option
@ask_gated
def command(ask: Ask, *, url: str, events: tuple[str, ...], secret: str | None) -> None:
    """Send each new line of the ledger to URL.

    Missed requests are repeated, across restarts of the server as well.
    """
    emit(ask("webhooks/create", url=url, events=list(events), secret=secret))
