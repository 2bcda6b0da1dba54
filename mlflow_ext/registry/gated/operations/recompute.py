"""Letting the server judge a version itself."""

from __future__ import annotations

from mlflow_ext.registry.gated.operations._operation import (
    AboutVersion,
    Document,
    Operation,
    Operations,
    Right,
)
from mlflow_ext.registry.gated.recomputation import start_recomputation
from mlflow_ext.registry.gated.store import GatedStore


def recompute(store: GatedStore, asked: AboutVersion) -> Document:
    """Start the job by which this server judges a version; its file alone says by what.

    Raises:
        RegistryStateError: This server has no gates of its own.
    """
    with store.reading(asked.model) as moment:
        store.version_row(moment, asked.version)
    return {"job_id": start_recomputation(asked.model, asked.version)}


OPERATIONS: Operations = {
    "recompute": Operation(
        answer=recompute, payload=AboutVersion, right=Right.UPDATE, is_write=True
    ),
}
