"""``mlflow-ext promote MODEL VERSION --to STAGE``: move a version up if the policy allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._decision import emit_decision
from mlflow_ext.cli._options import (
    actor_option,
    model_argument,
    option,
    reason_option,
    stage_option,
    store_options,
    version_argument,
)
from mlflow_ext.cli._output import say

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlflow_ext.registry.dossier import PromotionRequest


@click.command()
@model_argument
@version_argument
@stage_option
@reason_option
@option("--dry-run", is_flag=True, help="Only print the decision.")
@actor_option
@store_options
def command(
    *,
    model: str,
    version: int,
    to: str,
    reason: str,
    dry_run: bool,
    actor: str,
    tracking_uri: str | None,
    registry_uri: str | None,
) -> None:
    """Move a version up if the policy allows it.

    The alias of the stage moves along. A refusal ends with exit code 1 and lists each unmet
    requirement with the command that would meet it.
    """
    from mlflow_ext.registry.remote import find_registry

    registry = find_registry(tracking_uri, registry_uri, actor)
    if registry is not None:
        asked = {"model": model, "version": version, "to": to, "reason": reason}
        emit_decision(registry.ask("promote", **asked, dry_run=dry_run))
    from mlflow_ext.registry.connection import connect
    from mlflow_ext.registry.dossier import PromotionRequest
    from mlflow_ext.registry.terms import canonical_stage

    request = PromotionRequest(
        model=model,
        version=version,
        to_stage=canonical_stage(to),
        actor=actor,
        reason=reason,
        is_dry_run=dry_run,
    )
    emit_decision(_promote(connect(tracking_uri, registry_uri), request))


def _promote(client: MlflowClient, request: PromotionRequest) -> dict[str, Any]:
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.promote import promote
    from mlflow_ext.registry.advisory.status import ADVISORY
    from mlflow_ext.registry.card import load_policy

    result = promote(client, load_policy(client, request.model), request)
    say(ADVISORY)
    return {**to_dict(result), "decision": to_dict(result.decision)}
