"""The state of a registered model in one record: what for, which version where, on what grounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow_ext.registry.advisory.evidence import Evidence, load_evidence
from mlflow_ext.registry.advisory.transition import pending_transitions
from mlflow_ext.registry.snapshot import Snapshot, read_snapshot
from mlflow_ext.registry.tags import (
    COMMIT,
    DIRTY,
    GATE,
    GOAL,
    KPI,
    OWNER,
    PENDING,
    PROJECT_DIGEST,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ADVISORY = (
    "advisory: this registry does not enforce the policy; "
    "a client that skips mlflow-ext is not refused"
)
ACTIVE = ("Staging", "Production")


@dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """One version."""

    version: int
    stage: str
    aliases: tuple[str, ...]
    gates: dict[str, str]
    """Gate -> verdict."""
    kpis: dict[str, str]
    """Metric -> holdout value."""
    run_id: str | None
    commit: str | None
    is_dirty: bool
    """True: the working tree differed from the commit."""
    created_ms: int
    """When it was registered, in milliseconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """One registered model with all its versions."""

    model: str
    goal: str
    """What it is for; the description of a model that no project registered."""
    owner: str | None
    project_digest: str | None
    """SHA-256 of the project.yaml it was registered from, hex."""
    kpis: dict[str, str]
    """Metric -> threshold."""
    mode: str
    """Whether the registry enforces the policy."""
    problems: tuple[str, ...]
    """What does not fit together, one line each."""
    versions: tuple[VersionStatus, ...]
    """Newest first."""


def read_status(client: MlflowClient, model: str) -> ModelStatus:
    """Read the state of *model*.

    The verdicts of the newest version and of those in Staging or Production are read from the
    reports themselves, the others from tags, so that a long list stays quick.

    Raises:
        ModelNotFoundError: There is no such model.
        StoreUnreachableError: The registry does not answer.
    """
    snapshot = read_snapshot(client, model)
    evidence = {
        number: load_evidence(client, version)
        for number, version in snapshot.versions.items()
        if version.current_stage in ACTIVE or number == max(snapshot.versions)
    }
    return ModelStatus(
        model=model,
        goal=snapshot.tags.get(GOAL, snapshot.description),
        owner=snapshot.tags.get(OWNER),
        project_digest=snapshot.tags.get(PROJECT_DIGEST),
        kpis=with_prefix(snapshot.tags, KPI),
        mode=ADVISORY,
        problems=(*_interrupted(snapshot), *_named(evidence)),
        versions=tuple(
            _describe(snapshot, version, evidence.get(number))
            for number, version in reversed(snapshot.versions.items())
        ),
    )


def with_prefix(tags: dict[str, str], prefix: str) -> dict[str, str]:
    """Return the tags that start with *prefix*, under the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in sorted(tags.items()) if k.startswith(prefix)}


def _describe(
    snapshot: Snapshot, version: ModelVersion, evidence: Evidence | None
) -> VersionStatus:
    number = int(version.version)
    shown = with_prefix(version.tags, GATE)
    proven = {r.gate: str(r.verdict) for r in evidence.reports} if evidence else shown
    return VersionStatus(
        version=number,
        stage=snapshot.stages[number],
        aliases=tuple(sorted(a for a, held in snapshot.aliases.items() if held == number)),
        gates=proven,
        kpis=with_prefix(version.tags, KPI),
        run_id=version.run_id or None,
        commit=version.tags.get(COMMIT),
        is_dirty=version.tags.get(DIRTY) == "true",
        created_ms=int(version.creation_timestamp),
    )


def _interrupted(snapshot: Snapshot) -> list[str]:
    return [
        f"version {t.version}: its {t.action} to {t.to_stage} was interrupted ({PENDING}); "
        "the next promote or rollback completes it"
        for t in pending_transitions(snapshot)
    ]


def _named(evidence: dict[int, Evidence]) -> list[str]:
    return [f"version {number}: {line}" for number, e in evidence.items() for line in e.problems]
