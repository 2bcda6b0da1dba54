"""``mlflow-ext evidence show ID``: one piece of evidence in full."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("line", metavar="ID", type=click.IntRange(min=1))
@format_option
@ask_gated
def command(ask: Ask, *, line: int) -> None:
    """Show one piece of evidence: every check with its observed value and threshold.

    ID is its number in 'evidence list'. The JSON form holds the line of the ledger and the signed
    envelope, too.
    """
    emit(ask("evidence/show", id=line), only_json=("entry", "envelope"))
