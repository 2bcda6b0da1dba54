"""``mlflow.model_registry_store``: the gated registry, for addresses that start with ``gated+``."""

from __future__ import annotations

from typing import Any

PREFIX = "gated+"


def build_registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """Build the gated store over the database that *store_uri* names behind its prefix.

    Args:
        store_uri: ``gated+<dialect>://…``; the dialect as MLflow itself takes it.
        tracking_uri: Not needed: runs live where MLflow says.
    """
    import os

    from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
    from mlflow.server.constants import READ_REPLICA_BACKEND_STORE_URI_ENV_VAR
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
    from mlflow.store.model_registry.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore

    from mlflow_ext.registry.gated.store import GatedStore

    has_workspaces = MLFLOW_ENABLE_WORKSPACES.get()  # type: ignore[no-untyped-call]
    upstream = WorkspaceAwareSqlAlchemyStore if has_workspaces else SqlAlchemyStore
    kind = type(f"Gated{upstream.__name__}", (GatedStore, upstream), {})
    replica = os.environ.get(READ_REPLICA_BACKEND_STORE_URI_ENV_VAR)
    return kind(store_uri.removeprefix(PREFIX), read_db_uri=replica)
