"""``mlflow-ext rollback MODEL``: undo the last promotion to Production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._options import actor_option, model_argument, reason_option, store_options
from mlflow_ext.cli._output import emit, say

if TYPE_CHECKING:
    from mlflow import MlflowClient


@click.command()
@model_argument
@reason_option
@actor_option
@store_options
def command(
    model: str, reason: str, actor: str, tracking_uri: str | None, registry_uri: str | None
) -> None:
    """Undo the last promotion to Production.

    The version that goes back is the one that history says was replaced; the present one is
    archived, and the alias moves along.
    """
    from mlflow_ext.registry.remote import find_registry

    registry = find_registry(tracking_uri, registry_uri, actor)
    if registry is not None:
        emit(registry.ask("rollback", model=model, reason=reason))
    from mlflow_ext.registry.connection import connect

    emit(_roll_back(connect(tracking_uri, registry_uri), model, actor, reason))


def _roll_back(client: MlflowClient, model: str, actor: str, reason: str) -> dict[str, Any]:
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.rollback import rollback
    from mlflow_ext.registry.advisory.status import ADVISORY
    from mlflow_ext.registry.card import load_policy

    transition = rollback(client, load_policy(client, model), model, actor, reason)
    say(ADVISORY)
    return to_dict(transition)
