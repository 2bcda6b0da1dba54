"""Loading a governed model, once its files are known to be those that were promoted.

The registry freezes the files behind its own server. In a store that others can write to (a bucket,
a shared folder) they are looked at again before their code runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ext.errors import RefusedError
from mlflow_ext.registry.connection import connect, reaching
from mlflow_ext.registry.digest import load_verified
from mlflow_ext.registry.remote import require_registry

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


def load_model(
    model_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> PyFuncModel:
    """Load a version that was promoted from a copy whose digest is the one it was promoted with.

    That is to Production, or to another stage for which the policy asks something; whether it is
    there still does not matter.

    Args:
        model_uri: ``models:/NAME/VERSION``, ``models:/NAME/STAGE`` or ``models:/NAME@ALIAS``.
        tracking_uri: Where runs live; None means MLflow's own setting.
        registry_uri: The gated registry; None means MLflow's own setting.

    Raises:
        RefusedError: It was never promoted, so that the ledger knows no files to compare with.
        FilesChangedError: The files are others now.
        RegistryStateError: The registry is not gated, or has no such version.
        StoreUnreachableError: A store does not answer, or holds no files there.
    """
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    registry = require_registry(tracking_uri, registry_uri)
    client = connect(tracking_uri, registry_uri)
    with reaching(client):
        name, version = get_model_name_and_version(client, model_uri)  # type: ignore[no-untyped-call]
    bound = registry.ask("version", model=name, version=int(version))
    if not bound["live_digest"]:
        raise RefusedError(
            f"version {version} of model '{name}' was never promoted",
            "a version whose files the ledger knows",
            f"mlflow-ext promote {name} {version} --to Production --reason '...'",
        )
    return load_verified(client, f"models:/{name}/{version}", bound["live_digest"])
