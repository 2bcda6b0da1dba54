"""What goes with a stage: its alias, and the versions that it replaces."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.rules import STAGES, Policy

if TYPE_CHECKING:
    from mlflow_ext.registry.gated.governance import Ruling
    from mlflow_ext.registry.gated.standing import Standing


def move_aliases(moment: Moment, ruling: Ruling) -> None:
    """Point the stage's alias at the version, and take those of the stages that are left away."""
    asked, held = ruling.request, ruling.standing.aliases
    leaving = {asked.version, *ruling.replaced}
    for stage, governed in ruling.policy.stages.items():
        alias = governed.alias
        if alias is None or (stage == asked.to_stage and held.get(alias) == asked.version):
            continue
        if stage == asked.to_stage:
            _point(moment, alias, asked.version)
        elif held.get(alias) in leaving:
            _delete(moment, alias)


def rename_aliases(
    moment: Moment, standing: Standing, before: Policy, after: Policy
) -> dict[str, int]:
    """Let what holds a stage keep its alias under the name that another policy gives it.

    The old name would be free, and stay where it is for ever.

    Returns:
        New alias -> version.
    """
    renamed = {
        rule.alias: (new, standing.aliases[rule.alias])
        for stage, rule in before.stages.items()
        if (new := after.stages[stage].alias if stage in after.stages else None)
        and rule.alias in standing.aliases
        and rule.alias != new
        and standing.stage_of(standing.aliases[rule.alias], before) == stage
    }
    for old in renamed:  # all of them first, or two could not change places
        _delete(moment, old)
    for new, version in renamed.values():
        _point(moment, new, version)
    return dict(renamed.values())


def _delete(moment: Moment, alias: str) -> None:
    ours = {"ours": moment.workspace, "model": moment.model, "named": alias}
    moment.connection.execute(_statements()["delete"], ours)


def _point(moment: Moment, alias: str, version: int) -> None:
    values = {"ours": moment.workspace, "model": moment.model, "named": alias, "held": version}
    updated: Any = moment.connection.execute(_statements()["update"], values)
    if updated.rowcount == 0:
        moment.connection.execute(_statements()["insert"], values)


def archive(moment: Moment, ruling: Ruling) -> None:
    """Let the versions that a ruling replaces leave their stage; MLflow's way loads each first."""
    if ruling.replaced and ruling.request.to_stage in STAGES:
        values = {
            "ours": moment.workspace,
            "model": moment.model,
            "replaced": ruling.replaced,
            "now": moment.now_ms,
        }
        moment.connection.execute(_statements()["archive"], values)


@cache
def _statements() -> dict[str, Any]:
    """Build the statements once; MLflow's own way takes an object and three of them."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModelAlias

    aliases: Any = sa.inspect(SqlRegisteredModelAlias).local_table
    versions: Any = sa.inspect(SqlModelVersion).local_table
    ours: Any = sa.bindparam("ours")
    model: Any = sa.bindparam("model")
    named: Any = sa.bindparam("named")
    held: Any = sa.bindparam("held")
    replaced = versions.c.version.in_(sa.bindparam("replaced", expanding=True))
    where = (aliases.c.workspace == ours) & (aliases.c.name == model) & (aliases.c.alias == named)
    leaving = (versions.c.workspace == ours) & (versions.c.name == model) & replaced
    return {
        "update": aliases.update().where(where).values(version=held),
        "insert": aliases.insert().values(workspace=ours, name=model, alias=named, version=held),
        "delete": aliases.delete().where(where),
        "archive": versions.update()
        .where(leaving)
        .values(current_stage="Archived", last_updated_time=sa.bindparam("now")),
    }
