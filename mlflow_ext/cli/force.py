"""``mlflow-ext force MODEL VERSION --to STAGE``: move a version against its policy."""

from __future__ import annotations

import click

from mlflow_ext.cli._decision import emit_decision
from mlflow_ext.cli._options import (
    Ask,
    ask_gated,
    format_option,
    model_argument,
    reason_option,
    stage_option,
    version_argument,
)
from mlflow_ext.cli._output import say


@click.command()
@model_argument
@version_argument
@stage_option
@reason_option
@format_option
@ask_gated
def command(ask: Ask, *, model: str, version: int, to: str, reason: str) -> None:
    """Move a version against its policy.

    Only for those whom the policy lets do that. The ledger keeps who forced it, why, and every rule
    that was not met. A refusal ends with exit code 1.
    """
    answer = ask("force", model=model, version=version, to=to, reason=reason)
    if answer["transition"]:
        say(f"!!! FORCED: version {version} of '{model}' went to {to} against its policy !!!")
        say("!!! the ledger keeps who did it, why, and what was not met !!!")
    emit_decision(answer)
