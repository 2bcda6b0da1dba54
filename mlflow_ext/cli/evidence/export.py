"""``mlflow-ext evidence export MODEL VERSION``: the evidence as a bundle for another server."""

from __future__ import annotations

from typing import IO

import click

from mlflow_ext.cli._files import output_option, write_document
from mlflow_ext.cli._options import Ask, ask_gated, model_argument, version_argument


@click.command()
@model_argument
@version_argument
@output_option
@ask_gated
def command(ask: Ask, *, model: str, version: int, output: IO[str]) -> None:
    """Write the evidence about a version as a bundle (JSON) for another server.

    It holds the policy, the signed statements, their lines of the ledger and the digest of the
    model's files.
    """
    write_document(output, ask("evidence/export", model=model, version=version))
