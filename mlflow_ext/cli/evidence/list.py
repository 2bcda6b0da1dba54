"""``mlflow-ext evidence list MODEL VERSION``: what is known about a version, and what counts."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option, model_argument, version_argument
from mlflow_ext.cli._output import emit


@click.command()
@model_argument
@version_argument
@format_option
@ask_gated
def command(ask: Ask, *, model: str, version: int) -> None:
    """List the evidence about a version.

    Each piece with its verdict, who stands behind it, and why it does not count if it does not.
    """
    emit(ask("evidence/list", model=model, version=version))
