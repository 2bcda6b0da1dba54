"""How things stand: the registry itself, and one model with all its versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlflow_ext import __version__
from mlflow_ext.registry import tags
from mlflow_ext.registry.advisory.status import ModelStatus, VersionStatus, with_prefix
from mlflow_ext.registry.gated.governance import find_policy
from mlflow_ext.registry.gated.operations._operation import (
    AboutModel,
    AboutVersion,
    Document,
    Nothing,
    Operation,
    Operations,
    Right,
)
from mlflow_ext.registry.gated.operations.evidence import read_evidence
from mlflow_ext.registry.gated.standing import read_standing
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.gated.visits import find_strays
from mlflow_ext.registry.policy import AT_REST
from mlflow_ext.registry.signing import load_key

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


PAGE = 1_000


def info(store: GatedStore, _: Nothing) -> Document:
    """Say that this registry is gated, and with which key its server signs."""
    key = load_key()
    return {
        "mode": "gated",
        "version": __version__,
        "workspace": store.workspace,
        "key_id": key.key_id,
        "public_key": key.public_key,
    }


def status(store: GatedStore, asked: AboutModel) -> Document:
    """Return a model with its versions, newest first, and the grounds of those that matter."""
    registered = store.get_registered_model(asked.model)
    versions = sorted(_versions(store, asked.model), key=lambda v: -int(v.version))
    with store.reading(asked.model) as moment:
        policy, _ = find_policy(moment)
        standing = read_standing(moment.connection, moment.workspace, moment.model)
        strays = tuple(find_strays(moment, standing, policy))
    active = {number: standing.stage_of(number, policy) for number in standing.versions}
    known = dict(registered.tags)
    described = [
        _describe(store, registered, version, active, is_newest=version is versions[0])
        for version in versions
    ]
    return asdict(
        ModelStatus(
            model=asked.model,
            goal=known.get(tags.GOAL, registered.description or ""),
            owner=known.get(tags.OWNER),
            project_digest=known.get(tags.PROJECT_DIGEST),
            kpis=with_prefix(known, tags.KPI),
            mode=f"gated: policy '{policy.name}' governs, for every client",
            problems=(*strays, *(line for _, lines in described for line in lines)),
            versions=tuple(version for version, _ in described),
        )
    )


OPERATIONS: Operations = {
    "info": Operation(answer=info, payload=Nothing, right=Right.READ),
    "status": Operation(answer=status, payload=AboutModel, right=Right.READ),
}


def _versions(store: GatedStore, model: str) -> Iterator[ModelVersion]:
    token, named = None, f"name = '{model}'" if '"' in model else f'name = "{model}"'
    while True:
        page = store.search_model_versions(named, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _describe(
    store: GatedStore,
    registered: RegisteredModel,
    version: ModelVersion,
    active: dict[int, str],
    *,
    is_newest: bool,
) -> tuple[VersionStatus, list[str]]:
    """Describe a version; evidence is read where it matters, so that a long list stays quick."""
    number = int(version.version)
    stage = active.get(number, str(version.current_stage))
    matters = is_newest or stage not in AT_REST
    about = AboutVersion(model=registered.name, version=number)
    evidence = read_evidence(store, about) if matters else ()
    described = VersionStatus(
        version=number,
        stage=stage,
        aliases=tuple(sorted(a for a, held in registered.aliases.items() if int(held) == number)),
        gates={a.gate: str(a.verdict) for a in evidence if not a.problem},
        kpis=with_prefix(version.tags, tags.KPI),
        run_id=version.run_id or None,
        commit=version.tags.get(tags.COMMIT),
        is_dirty=version.tags.get(tags.DIRTY) == "true",
        created_ms=int(version.creation_timestamp),
    )
    problems = [
        f"version {number}: evidence {a.id} (gate '{a.gate}') does not count: {a.problem}"
        for a in evidence
        if a.problem
    ]
    return described, problems
