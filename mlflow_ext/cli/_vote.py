"""The commands that put a word about one version and one stage into the ledger."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import (
    Ask,
    ask_gated,
    format_option,
    model_argument,
    reason_option,
    stage_option,
    version_argument,
)
from mlflow_ext.cli._output import emit


def make_vote_command(operation: str, help_text: str) -> click.Command:
    """Build the command that asks for *operation* and shows the line it wrote.

    Args:
        operation: ``request``, ``approve`` or ``reject``.
        help_text: What the command says of itself.
    """

    @click.command(help=help_text)
    @model_argument
    @version_argument
    @stage_option
    @reason_option
    @format_option
    @ask_gated
    def command(ask: Ask, *, model: str, version: int, to: str, reason: str) -> None:
        emit(ask(operation, model=model, version=version, to=to, reason=reason)["entry"])

    return command
