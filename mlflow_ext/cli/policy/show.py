"""``mlflow-ext policy show MODEL``: what governs a model, since when and by whom."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option, model_argument
from mlflow_ext.cli._output import emit


@click.command()
@model_argument
@format_option
@ask_gated
def command(ask: Ask, *, model: str) -> None:
    """Show the policy that governs MODEL, who set it and when."""
    emit(ask("policy/show", model=model))
