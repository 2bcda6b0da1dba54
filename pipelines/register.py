"""Step 7: make the model a version of the registered model, with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mlflow

from mlflow_ext.errors import ModelNotFoundError
from mlflow_ext.project import Project, project_digest
from mlflow_ext.registry.card import ModelCard
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


def register(
    project: Project, ingest: Ingested, features: Prepared, train: Trained, evaluate: Evaluated
) -> Registered:
    """Create the version and write its traces: run, commit, fingerprints, KPIs, project digest."""
    tables = (*ingest.tables, features.table)
    values = {kpi.metric: evaluate.holdout[kpi.metric] for kpi in project.kpis}
    card = ModelCard(
        project=project,
        project_digest=project_digest(Path("project.yaml")),
        fingerprints={table.name: table.fingerprint.digest for table in tables},
        kpis={metric: value for metric, value in values.items() if value is not None},
    )
    version = register_model(mlflow.MlflowClient(), train.logged, card)
    return Registered(model=version.model, version=version.version, source=train.logged.uri)


def version_exists(registered: Registered) -> bool:
    """Say whether the version is still in the registry."""
    try:
        snapshot = read_snapshot(mlflow.MlflowClient(), registered.model)
    except ModelNotFoundError:
        return False
    return registered.version in snapshot.versions
