"""Letting each alias go with its stage, so that both tell the same story."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.registry.gated.transaction import Moment

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
            moment.session.execute(_statements()["delete"], ours)


def _point(moment: Moment, values: dict[str, Any]) -> None:
    updated: Any = moment.session.execute(_statements()["update"], values)
    if updated.rowcount == 0:
        moment.session.execute(_statements()["insert"], values)


@cache
def _statements() -> dict[str, Any]:
    """Build the statements once; MLflow's own way takes an object and three of them."""
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias

    table: Any = sa.inspect(SqlRegisteredModelAlias).local_table
    ours: Any = sa.bindparam("ours")
    model: Any = sa.bindparam("model")
    named: Any = sa.bindparam("named")
    held: Any = sa.bindparam("held")
    where = (table.c.workspace == ours) & (table.c.name == model) & (table.c.alias == named)
    return {
        "update": table.update().where(where).values(version=held),
        "insert": table.insert().values(workspace=ours, name=model, alias=named, version=held),
        "delete": table.delete().where(where),
    }
