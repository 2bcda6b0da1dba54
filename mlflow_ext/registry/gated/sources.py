"""Where the files of a version lie that was registered by the run they come from.

MLflow's ``register_model`` turns ``runs:/RUN/path`` into the address of the files; who creates a
version by the API may not. Such a version could never be judged: a server cannot read that address,
and would not know which uploads change the files.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection

RUNS = "runs:"


def find_place(source: str) -> str | None:
    """Return where a run keeps what *source* names; None for any other source, or no such run."""
    if not source.startswith(RUNS):
        return None
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

    flask = sys.modules.get("flask")
    try:
        if flask is not None and flask.has_request_context():
            from mlflow.server.handlers import _get_tracking_store

            _get_tracking_store()  # of this server; from here on it is MLflow's own setting
        return str(RunsArtifactRepository.get_underlying_uri(source))
    except MlflowException:
        return None  # the version cannot be judged, and MLflow takes it as it is


def keep_place(connection: Connection, version: Any, workspace: str, place: str) -> None:
    """Write where the files of a version lie beside its source, as MLflow does for ``models:/``."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    held: Any = sa.inspect(SqlModelVersion).local_table
    names = (held.c.workspace == workspace, held.c.name == version.name)
    same = sa.and_(*names, held.c.version == int(version.version))
    connection.execute(held.update().where(same).values(storage_location=place))
