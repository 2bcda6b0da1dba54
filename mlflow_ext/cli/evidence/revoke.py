"""``mlflow-ext evidence revoke ID``: take a piece of evidence back."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option, reason_option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("line", metavar="ID", type=click.IntRange(min=1))
@reason_option
@format_option
@ask_gated
def command(ask: Ask, *, line: int, reason: str) -> None:
    """Withdraw one piece of evidence; from now on it does not count.

    ID is its number in 'evidence list'. The ledger keeps it, and who withdrew it and why.
    """
    emit(ask("evidence/revoke", id=line, reason=reason)["entry"])
