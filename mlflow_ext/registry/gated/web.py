"""What a server does around its routes: freeze files, keep workspaces, deliver to webhooks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from mlflow_ext.registry.gated.freezing import FreezeArtifacts, freeze_routes
from mlflow_ext.registry.gated.workspaces import guard_workspaces

if TYPE_CHECKING:
    from flask import Flask


def complete(inner: Flask, outer: Any | None) -> Any:
    """Finish an application whose routes are all there.

    Args:
        inner: MLflow's Flask application.
        outer: The FastAPI application around it; None where a server runs Flask alone.

    Returns:
        The application to serve.
    """
    from starlette.middleware import Middleware

    freeze_routes(inner)
    guard_workspaces(inner)
    start_courier()
    if outer is None:
        return inner
    # Innermost, so that nobody learns what is frozen who was not let in before.
    outer.user_middleware.append(Middleware(FreezeArtifacts))
    return outer


@cache
def start_courier() -> None:
    """Let this process deliver to the webhooks of its registry, if that is gated; once."""
    from mlflow.server.handlers import _get_model_registry_store

    from mlflow_ext.registry.gated.courier import Courier
    from mlflow_ext.registry.gated.store import GatedStore

    store = _get_model_registry_store()
    if isinstance(store, GatedStore):
        Courier(store.engine).start()
