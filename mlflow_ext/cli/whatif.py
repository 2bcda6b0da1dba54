"""``mlflow-ext whatif --policy FILE``: what another policy would have answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mlflow_ext.cli._options import ask_gated, format_option, option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("model", required=False)
@option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    required=True,
    help="The policy to imagine, YAML.",
)
@format_option
@ask_gated
def command(ask: Callable[..., dict[str, Any]], *, model: str | None, policy: Path) -> None:
    """Show which past promotions another policy would have blocked or released.

    Of MODEL, else of every model. Nothing changes.
    """
    from mlflow_ext.registry.rules import dump_policy, read_policy

    emit(ask("whatif", policy=dump_policy(read_policy(policy)), model=model))
