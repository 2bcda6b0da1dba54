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


def take_over(moment: Moment, ruling: Ruling) -> None:
    """Let what a ruling replaces leave its stage, and the aliases go with the stages."""
    asked, held = ruling.request, ruling.standing.aliases
    archived = ruling.replaced if asked.to_stage in STAGES else ()
    own = ruling.policy.stages.get(asked.to_stage)
    if own and own.alias and held.get(own.alias) != asked.version:
        _point(moment, own.alias, asked.version, archived)
    elif archived:
        moment.connection.execute(_statements()["archive"], _leaving(moment, archived))
    leaving = {asked.version, *ruling.replaced}
    for stage, rule in ruling.policy.stages.items():
        if stage != asked.to_stage and rule.alias and held.get(rule.alias) in leaving:
            _delete(moment, rule.alias)


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


def _point(moment: Moment, alias: str, version: int, archived: tuple[int, ...] = ()) -> None:
    """Point an alias at a version; archive others first, which PostgreSQL does along with it."""
    statements, execute = _statements(), moment.connection.execute
    values = {"ours": moment.workspace, "model": moment.model, "named": alias, "held": version}
    if archived and moment.connection.dialect.name == "postgresql":
        updated: Any = execute(statements["succeed"], values | _leaving(moment, archived))
    else:
        if archived:
            execute(statements["archive"], _leaving(moment, archived))
        updated = execute(statements["update"], values)
    if updated.rowcount == 0:
        execute(statements["insert"], values)


def _leaving(moment: Moment, archived: tuple[int, ...]) -> dict[str, Any]:
    ours = {"ours": moment.workspace, "model": moment.model}
    return {**ours, "replaced": archived, "now": moment.now_ms}


@cache
def _statements() -> dict[str, Any]:
    """Build the statements once; MLflow's own ways load each alias and each version first."""
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
    update = aliases.update().where(where).values(version=held)
    archive = versions.update().where(leaving)
    archive = archive.values(current_stage="Archived", last_updated_time=sa.bindparam("now"))
    return {
        "update": update,
        "insert": aliases.insert().values(workspace=ours, name=model, alias=named, version=held),
        "delete": aliases.delete().where(where),
        "archive": archive,
        "succeed": update.add_cte(archive.cte("archived")),
    }
