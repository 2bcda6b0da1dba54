"""Asking a gated registry: one function behind the HTTP API and the client inside the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlflow_ext.errors import RequestError, UnknownNameError
from mlflow_ext.registry.gated.caller import Caller, acting_as
from mlflow_ext.registry.gated.operations import (
    attempts,
    audit,
    bundles,
    erasures,
    evidence,
    moves,
    policies,
    recompute,
    state,
    webhooks,
)
from mlflow_ext.registry.gated.operations._operation import Document, Operation
from mlflow_ext.registry.gated.store import GatedStore

OPERATIONS: Mapping[str, Operation] = {
    **state.OPERATIONS,
    **moves.OPERATIONS,
    **policies.OPERATIONS,
    **evidence.OPERATIONS,
    **attempts.OPERATIONS,
    **erasures.OPERATIONS,
    **bundles.OPERATIONS,
    **audit.OPERATIONS,
    **recompute.OPERATIONS,
    **webhooks.OPERATIONS,
}


def perform(store: GatedStore, name: str, caller: Caller, payload: Mapping[str, Any]) -> Document:
    """Answer one operation.

    Args:
        store: The gated registry.
        name: Of the operation.
        caller: Who asks.
        payload: Its JSON values; numbers may be texts, as a query string holds them.

    Returns:
        A JSON document. A refused promotion is a document whose decision is not allowed.

    Raises:
        UnknownNameError: There is no such operation.
        RequestError: The payload does not fit the operation.
        MlflowExtError: The registry refuses, or no answer could be reached.
        mlflow.exceptions.MlflowException: There is no such model or version.
    """
    operation = find_operation(name)
    try:
        asked = TypeAdapter(operation.payload).validate_python(dict(payload))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the payload"
        raise RequestError(name, where, first["msg"]) from None
    with acting_as(caller):
        return operation.answer(store, asked)


def find_operation(name: str) -> Operation:
    """Return the operation called *name*.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in OPERATIONS:
        raise UnknownNameError("operation", name, list(OPERATIONS))
    return OPERATIONS[name]
