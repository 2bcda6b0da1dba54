"""Step 7: make the model a version of the registered model, with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mlflow

from mlflow_ext.errors import ModelNotFoundError
from mlflow_ext.project import Project, project_digest
from mlflow_ext.registry.card import ModelCard, describe_model
from mlflow_ext.registry.mode import find_mode
from mlflow_ext.registry.model import register_model
from mlflow_ext.registry.snapshot import read_snapshot
from pipelines.evaluate import Evaluated
from pipelines.features import Prepared
from pipelines.ingest import Ingested
from pipelines.train import Trained


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The version in the registry."""

    model: str
    version: int
    source: str
    """Address of the model file, ``models:/m-…``."""
    policy: str
    """Which policy governs the model, in words."""
    objections: tuple[str, ...]
    """Why it is not that of project.yaml."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What decides about promotion."""
        return (self.policy, *self.objections)


def register(
    project: Project, ingest: Ingested, features: Prepared, train: Trained, evaluate: Evaluated
) -> Registered:
    """Create the version and write its traces: run, commit, fingerprints, KPIs, project digest.

    The policy comes first, so that no version is ever governed by another one.
    """
    tables = (*ingest.tables, features.table)
    values = {kpi.metric: evaluate.holdout[kpi.metric] for kpi in project.kpis}
    card = ModelCard(
        project=project,
        project_digest=project_digest(Path("project.yaml")),
        fingerprints={table.name: table.fingerprint.digest for table in tables},
        kpis={metric: value for metric, value in values.items() if value is not None},
        promised=train.promised,
    )
    client = mlflow.MlflowClient()
    mode = find_mode(client)
    describe_model(client, card)
    objections = mode.govern(project.promotion)
    version = register_model(client, train.logged, card)
    return Registered(
        model=version.model,
        version=version.version,
        source=train.logged.uri,
        policy=mode.governing(version.model),
        objections=objections,
    )


def is_registered(registered: Registered) -> bool:
    """Say whether the version is still there, and the policy that it was registered under."""
    client = mlflow.MlflowClient()
    try:
        snapshot = read_snapshot(client, registered.model)
    except ModelNotFoundError:
        return False
    is_there = registered.version in snapshot.versions
    return is_there and find_mode(client).governing(registered.model) == registered.policy
