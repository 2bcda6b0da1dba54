"""The files of a registered version, wherever its registry keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from mlflow_ext.errors import StoreUnreachableError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

# Of mlflow.server.constants and its routes: importing them would build MLflow's web application.
SERVES_VARIABLE = "_MLFLOW_SERVER_SERVE_ARTIFACTS"
DESTINATION_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
ROUTE = "/api/2.0/mlflow-artifacts/artifacts/"


def open_store(location: str, tracking_uri: str | None) -> tuple[ArtifactRepository, str]:
    """Return the store that holds *location*, and the path inside it.

    Args:
        location: Where the registry says that the files lie. Inside a server, its own
            ``mlflow-artifacts:`` locations are read from its ``--artifacts-destination``: it cannot
            ask itself, least of all with basic-auth.
        tracking_uri: The server behind ``mlflow-artifacts:`` elsewhere; None: MLflow's own setting.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    path = served_path(location)
    if path:
        return get_artifact_repository(os.environ[DESTINATION_VARIABLE]), path
    return get_artifact_repository(location, tracking_uri=tracking_uri), ""


@contextmanager
def local_copy(client: MlflowClient, model: str, version: int) -> Iterator[Path]:
    """Lend a copy of the files of a registered version, which nobody else writes to.

    Raises:
        StoreUnreachableError: They cannot be read, or there are none.
    """
    with TemporaryDirectory() as folder:
        try:
            copy = _download(client, model, version, folder)
        except Exception as error:  # every kind of store has a library with errors of its own
            cause = (str(error) or type(error).__name__).splitlines()[0]
            fix = f"restore the files, or register a new version of '{model}'"
            uri = f"models:/{model}/{version}"
            raise StoreUnreachableError("model store", uri, cause, fix) from error
        yield copy


def _download(client: MlflowClient, model: str, version: int, folder: str) -> Path:
    # Not models:/NAME/VERSION, which MLflow looks up in its global registry.
    location = client.get_model_version_download_uri(model, str(version))
    store, path = open_store(location, client.tracking_uri)
    copy = Path(store.download_artifacts(path, folder))  # type: ignore[no-untyped-call]
    if not any(copy.iterdir()):  # a local store finds nothing wrong with a folder that is gone
        raise FileNotFoundError(f"{location} holds no files")
    return copy


def served_path(location: str) -> str:
    """Return the path of *location* below the destination of the server that this process is."""
    if os.environ.get(SERVES_VARIABLE) != "true" or DESTINATION_VARIABLE not in os.environ:
        return ""
    url = urlparse(location)
    if url.scheme == "mlflow-artifacts":
        return url.path.strip("/")
    return url.path.partition(ROUTE)[2] if url.scheme in ("http", "https") else ""
