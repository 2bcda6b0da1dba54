"""What goes with a stage: its alias, and the versions that it replaces."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.rules import STAGES

if TYPE_CHECKING:
    from mlflow_ext.registry.gated.governance import Ruling


def move_aliases(moment: Moment, ruling: Ruling) -> None:
    """Point the stage's alias at the version, and take those of the stages that are left away."""
    asked, held = ruling.request, ruling.standing.aliases
    leaving = {asked.version, *ruling.replaced}
    for stage, governed in ruling.policy.stages.items():
        alias = governed.alias
        if alias is None or (stage == asked.to_stage and held.get(alias) == asked.version):
            continue
        ours = {"ours": moment.workspace, "model": moment.model, "named": alias}
        if stage == asked.to_stage:
            _point(moment, {**ours, "held": asked.version})
        elif held.get(alias) in leaving:
            moment.connection.execute(_statements()["delete"], ours)


def _point(moment: Moment, values: dict[str, Any]) -> None:
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
