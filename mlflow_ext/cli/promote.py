"""``mlflow-ext promote MODEL VERSION --to STAGE``: move a version up if the policy allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlflow_ext.cli._options import actor_option, option, store_options
from mlflow_ext.cli._output import emit, say

if TYPE_CHECKING:
    from mlflow_ext.project import Stage


@click.command()
@click.argument("model")
@click.argument("version", type=click.IntRange(min=1))
@option(
    "--to",
    type=click.Choice(["Staging", "Production"], case_sensitive=False),
    metavar="[Staging|Production]",
    required=True,
    help="The stage to move to.",
)
@option("--reason", required=True, help="Why, for the record.")
@option("--dry-run", is_flag=True, help="Only print the decision.")
@actor_option
@store_options
def command(
    *,
    model: str,
    version: int,
    to: Stage,
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
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.promote import PromotionRequest, promote
    from mlflow_ext.registry.advisory.status import ADVISORY
    from mlflow_ext.registry.card import load_policy
    from mlflow_ext.registry.connection import connect

    request = PromotionRequest(
        model=model,
        version=version,
        to_stage=to,
        actor=actor,
        reason=reason,
        is_dry_run=dry_run,
    )
    client = connect(tracking_uri, registry_uri)
    result = promote(client, load_policy(client, model), request)
    say(ADVISORY)
    is_allowed = result.decision.is_allowed
    answer = to_dict(result)
    emit({**answer.pop("decision"), "is_allowed": is_allowed, **answer}, is_yes=is_allowed)
