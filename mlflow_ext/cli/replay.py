"""``mlflow-ext replay``: take every past decision again and compare."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option, option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("model", required=False)
@option("--all", "is_all", is_flag=True, help="Every model of the registry.")
@format_option
@ask_gated
def command(ask: Ask, *, model: str | None, is_all: bool) -> None:
    """Take the past decisions about MODEL again.

    They are taken from the ledger alone; a decision that comes out otherwise is shown, and ends
    with exit code 1.
    """
    if is_all == (model is not None):
        raise click.UsageError("say which: a MODEL, or --all")
    answer = ask("replay", model=model)
    emit(answer, is_yes=not answer["different"])
