"""``mlflow-ext webhook list``: who is told what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mlflow_ext.cli._options import ask_gated, format_option
from mlflow_ext.cli._output import emit


@click.command()
@format_option
@ask_gated
def command(ask: Callable[..., dict[str, Any]]) -> None:
    """List the addresses that are told what happens."""
    emit(ask("webhooks/list"))
