"""``mlflow.app``: MLflow's web application with our API, and with frozen files.

``mlflow server --app-name mlflow-ext``, or ``mlflow-ext-auth`` with MLflow's basic-auth.
"""

from __future__ import annotations

from typing import Any


def create_app() -> Any:
    """Build the application; whoever reaches it may use it."""
    from mlflow.environment_variables import _MLFLOW_SGI_NAME
    from mlflow.server import app

    from mlflow_ext.registry.gated.web import complete

    _add_routes(app)
    if _MLFLOW_SGI_NAME.get() != "uvicorn":  # type: ignore[no-untyped-call]
        return complete(app, None)
    from mlflow.server.fastapi_app import create_fastapi_app

    return complete(app, create_fastapi_app(app))


def create_auth_app() -> Any:
    """Build the application behind basic-auth, which asks for MLflow's own rights."""
    from mlflow.server import app, auth

    from mlflow_ext.registry.gated import permissions
    from mlflow_ext.registry.gated.web import complete
    from mlflow_ext.tracking import route

    _add_routes(app)
    auth.BEFORE_REQUEST_VALIDATORS.update(permissions.validators() | route.validators())
    outer = auth.create_app(app)
    return complete(app, None if outer is app else outer)


def _add_routes(app: Any) -> None:
    from mlflow_ext.registry.gated import api
    from mlflow_ext.tracking import route

    api.add_routes(app)
    route.add_routes(app)
