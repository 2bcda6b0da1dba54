"""How a registered model stands inside a transaction: the versions that matter, and its aliases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.registry.rules import Policy

if TYPE_CHECKING:
    from sqlalchemy import Connection

DELETED = "Deleted_Internal"
INACTIVE = ("None", "Archived", DELETED)
PROMPT_SOURCES = ("dummy-source", "prompt-template")
"""What MLflow writes into the source of a prompt's version; unlike a tag, it cannot be changed."""
IS_PROMPT = "mlflow.prompt.is_prompt"


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """One version as the database holds it."""

    version: int
    stage: str
    """MLflow's own."""
    created_ms: int
    source: str
    storage: str
    """Where the files lie."""

    @property
    def has_prompt_source(self) -> bool:
        """True when the version was made as a prompt, not as a model."""
        return self.source in PROMPT_SOURCES


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One registered model: the version that is asked about, those in an active stage, aliases."""

    versions: dict[int, VersionRow]
    aliases: dict[str, int]
    """Alias -> version."""
    is_prompt: bool
    """The model carries the tag that makes MLflow show it as a prompt; anyone can set that."""

    def stage_of(self, version: int, policy: Policy) -> str:
        """Return the stage of a version: MLflow's, or the policy's own that its alias tells."""
        own = self.versions[version].stage
        return next(
            (stage for stage, held in self._custom(policy) if held == version and own == "None"),
            own,
        )

    def holders(self, stage: str, policy: Policy) -> tuple[int, ...]:
        """Return the versions in *stage*, oldest first."""
        return tuple(v for v in sorted(self.versions) if self.stage_of(v, policy) == stage)

    def protected(self, policy: Policy) -> dict[int, str]:
        """Return version -> stage for every version in a stage for which the policy asks much."""
        stages = {version: self.stage_of(version, policy) for version in sorted(self.versions)}
        rules = policy.stages
        return {
            v: stage for v, stage in stages.items() if stage in rules and rules[stage].is_protected
        }

    def is_exempt(self, version: int) -> bool:
        """Tell whether a version is a prompt and not a model."""
        return self.is_prompt and self.versions[version].has_prompt_source

    def _custom(self, policy: Policy) -> list[tuple[str, int]]:
        return [
            (stage, self.aliases[rule.alias])
            for stage, rule in policy.custom_stages.items()
            if rule.alias in self.aliases
        ]


def read_standing(connection: Connection, workspace: str, model: str, *asked: int) -> Standing:
    """Read the model; a version that does not exist, or was deleted, is not among the versions."""
    ours = {"ours": workspace, "model": model}
    rows = connection.execute(_queries().standing, {**ours, "asked": sorted(asked)}).all()
    versions = {int(row.version): _version_row(row) for row in rows}
    may_be_prompt = any(row.has_prompt_source for row in versions.values())
    return Standing(
        versions=versions,
        aliases={row.alias: int(row.version) for row in rows if row.alias is not None},
        is_prompt=may_be_prompt
        and connection.execute(_queries().prompt, ours).scalar() is not None,
    )


def _version_row(row: Any) -> VersionRow:
    return VersionRow(
        version=int(row.version),
        stage=row.current_stage,
        created_ms=int(row.creation_time),
        source=row.source or "",
        storage=row.storage_location or row.source or "",
    )


@dataclass(frozen=True)
class _Queries:
    standing: Any
    """One row for each version and alias of it."""
    prompt: Any


@cache
def _queries() -> _Queries:
    """Build the queries once; MLflow's tables are only imported when they are needed."""
    from mlflow.store.model_registry.dbmodels.models import (
        SqlModelVersion,
        SqlRegisteredModelAlias,
        SqlRegisteredModelTag,
    )

    held, named, tagged = (
        sa.inspect(table).local_table
        for table in (SqlModelVersion, SqlRegisteredModelAlias, SqlRegisteredModelTag)
    )
    names = ("version", "current_stage", "creation_time", "source", "storage_location")
    keys = ("workspace", "name", "version")
    is_named = sa.and_(*(named.c[key] == held.c[key] for key in keys))
    matters = sa.or_(
        held.c.current_stage.not_in(INACTIVE),
        held.c.version.in_(sa.bindparam("asked", expanding=True)),
        named.c.alias.is_not(None),
    )
    return _Queries(
        standing=sa.select(*(held.c[name] for name in names), named.c.alias)
        .select_from(held.outerjoin(named, is_named))
        .where(*_ours(held), matters, held.c.current_stage != DELETED),
        prompt=sa.select(tagged.c.value).where(*_ours(tagged), tagged.c.key == IS_PROMPT),
    )


def _ours(table: Any) -> tuple[Any, Any]:
    return table.c.workspace == sa.bindparam("ours"), table.c.name == sa.bindparam("model")
