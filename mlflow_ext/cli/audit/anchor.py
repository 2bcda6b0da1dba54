"""``mlflow-ext audit anchor``: note the newest line of the ledger where nobody can rewrite it."""

from __future__ import annotations

from typing import IO

import click

from mlflow_ext.cli._files import output_option, write_document
from mlflow_ext.cli._options import Ask, ask_gated


@click.command()
@output_option
@ask_gated
def command(ask: Ask, *, output: IO[str]) -> None:
    """Write the number and the hash of the ledger's newest line (JSON).

    Keep the file elsewhere: in git, or as an artifact of a run on another server.
    'audit verify --anchor FILE' then finds a ledger that was rewritten as a whole.
    """
    write_document(output, ask("audit/head"))
