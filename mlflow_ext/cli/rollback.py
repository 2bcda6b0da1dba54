"""``mlflow-ext rollback MODEL``: undo the last promotion to Production."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import actor_option, option, store_options
from mlflow_ext.cli._output import emit, say


@click.command()
@click.argument("model")
@option("--reason", required=True, help="Why, for the record.")
@actor_option
@store_options
def command(
    model: str, reason: str, actor: str, tracking_uri: str | None, registry_uri: str | None
) -> None:
    """Undo the last promotion to Production.

    The version that goes back is the one that history says was replaced; the present one is
    archived, and the alias moves along.
    """
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.rollback import rollback
    from mlflow_ext.registry.advisory.status import ADVISORY
    from mlflow_ext.registry.card import load_policy
    from mlflow_ext.registry.connection import connect

    client = connect(tracking_uri, registry_uri)
    transition = rollback(client, load_policy(client, model), model, actor, reason)
    say(ADVISORY)
    emit(to_dict(transition))
