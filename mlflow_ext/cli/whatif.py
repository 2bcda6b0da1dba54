"""``mlflow-ext whatif --policy FILE``: what another policy would have answered."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_ext.cli._files import input_type
from mlflow_ext.cli._options import Ask, ask_gated, format_option, option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("model", required=False)
@option(
    "--policy",
    type=input_type,
    metavar="FILE",
    required=True,
    help="The policy to imagine, YAML.",
)
@format_option
@ask_gated
def command(ask: Ask, *, model: str | None, policy: Path) -> None:
    """Show which past promotions another policy would have blocked or released.

    Of MODEL, else of every model. Nothing changes.
    """
    from mlflow_ext.registry.rules import dump_policy, read_policy

    emit(ask("whatif", policy=dump_policy(read_policy(policy)), model=model))
