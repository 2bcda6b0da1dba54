"""``mlflow-ext policy show MODEL``: what governs a model, since when and by whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mlflow_ext.cli._options import ask_gated, format_option, model_argument
from mlflow_ext.cli._output import emit


@click.command()
@model_argument
@format_option
@ask_gated
def command(ask: Callable[..., dict[str, Any]], *, model: str) -> None:
    """Show the policy that governs MODEL, who set it and when."""
    emit(ask("policy/show", model=model))
