"""How often a model was compared on one holdout, counted on plain MLflow: a tag of the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlflow_ext.registry.connection import reaching
from mlflow_ext.registry.snapshot import read_snapshot
from mlflow_ext.registry.tags import ATTEMPTS

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHORT = 16
"""Hex digits by which holdouts and comparisons are told apart, as tags have to be short."""


def count_attempt(client: MlflowClient, model: str, holdout: str, identity: str) -> int:
    """Return the number of a comparison on its holdout, from 1, and note it if it is new.

    Whoever may edit the model may edit the tag; two at one moment may take one number.

    Args:
        client: The registry.
        model: Name of the registered model.
        holdout: Fingerprint of the rows.
        identity: Digest of what is compared.

    Raises:
        ModelNotFoundError: There is no such model.
        StoreUnreachableError: The registry does not answer.
    """
    key, short = f"{ATTEMPTS}{holdout[:SHORT]}", identity[:SHORT]
    known = json.loads(read_snapshot(client, model).tags.get(key, "[]"))
    if short not in known:
        known.append(short)
        with reaching(client):
            client.set_registered_model_tag(model, key, json.dumps(known))
    return int(known.index(short)) + 1
