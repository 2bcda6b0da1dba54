"""``mlflow-ext policy set MODEL FILE``: let another policy govern a model from now on."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_ext.cli._files import input_type
from mlflow_ext.cli._options import Ask, ask_gated, format_option, model_argument, reason_option
from mlflow_ext.cli._output import emit, say


@click.command()
@model_argument
@click.argument("file", type=input_type)
@reason_option
@format_option
@ask_gated
def command(ask: Ask, *, model: str, file: Path, reason: str) -> None:
    """Let the policy in FILE (YAML) govern MODEL.

    The ledger keeps the policy, who set it and why.
    """
    from mlflow_ext.registry.rules import dump_policy, read_policy, weaknesses

    policy = read_policy(file)
    for weakness in weaknesses(policy):
        say(f"warning: {weakness}")
    emit(ask("policy/set", model=model, policy=dump_policy(policy), reason=reason)["entry"])
