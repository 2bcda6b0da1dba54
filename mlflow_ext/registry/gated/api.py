"""The HTTP API of a gated registry: every operation behind one view.

Reads are GET with a query, writes POST with JSON; both answer JSON. The routes are Flask's, because
that is what MLflow's basic-auth guards: a route of FastAPI's would be open to anybody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from mlflow_ext.errors import (
    LedgerError,
    MlflowExtError,
    ModelNotFoundError,
    RefusedError,
    RequestError,
    UngatedError,
    UnknownNameError,
)
from mlflow_ext.registry.gated.caller import current_caller
from mlflow_ext.registry.gated.service import OPERATIONS, perform

if TYPE_CHECKING:
    from flask import Flask, Response

API = "/api/2.0/mlflow-ext"
DENIED = "PERMISSION_DENIED", 403
CODES = (
    ((RefusedError, LedgerError), DENIED),
    ((UnknownNameError, ModelNotFoundError), ("RESOURCE_DOES_NOT_EXIST", 404)),
    ((UngatedError,), ("NOT_IMPLEMENTED", 501)),
    ((MlflowExtError,), ("INVALID_PARAMETER_VALUE", 400)),
)
"""Kinds of errors, the first that fits -> MLflow's word for it and the HTTP status. No status is
one of those at which MLflow's client tries again for minutes and then loses the text."""


def add_routes(app: Flask) -> None:
    """Let MLflow's web application answer every operation of the registry."""
    for name in OPERATIONS:
        path, method = route(name)
        app.add_url_rule(path, f"mlflow_ext/{name}", partial(answer, name), methods=[method])


def route(name: str) -> tuple[str, str]:
    """Return the path of an operation, behind the server's static prefix, and its method."""
    from mlflow.server.handlers import _add_static_prefix

    path: str = _add_static_prefix(f"{API}/{name}")
    return path, "POST" if OPERATIONS[name].is_write else "GET"


def answer(name: str) -> Response:
    """Carry out the operation called *name* for the request at hand."""
    from mlflow.server.handlers import _get_model_registry_store, catch_mlflow_exception

    from mlflow_ext.registry.gated.store import GatedStore

    @catch_mlflow_exception  # type: ignore[untyped-decorator]
    def carry_out() -> Response:
        try:
            store = _get_model_registry_store()
            if not isinstance(store, GatedStore):
                raise UngatedError
            payload = read_payload(name)
            document = perform(store, name, current_caller(), payload)
        except MlflowExtError as error:
            return tell(error)
        if _is_refusal(document, payload):
            code, status = DENIED
            return write({"error_code": code, **document}, status)
        return write(document)

    response: Response = carry_out()
    return response


def read_payload(name: str) -> dict[str, Any]:
    """Return what the request at hand says to the operation called *name*.

    Raises:
        RequestError: Its body is no JSON object.
    """
    from flask import request

    if request.method != "POST":
        return request.args.to_dict()
    payload = _parse(request.get_data()) if request.is_json else None
    if not isinstance(payload, dict):
        raise RequestError(name, "the body", "it is no JSON object")
    return payload


def tell(error: MlflowExtError) -> Response:
    """Answer with an error as MLflow's clients read it, and with the parts that ours show."""
    return write(*describe(error))


def write(document: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with *document* in its own order, in which tables show it; Flask's would be sorted."""
    from flask import Response

    return Response(json.dumps(document), status, mimetype="application/json")


def describe(error: MlflowExtError) -> tuple[dict[str, str], int]:
    """Return the JSON document that tells *error*, and the HTTP status that goes with it.

    >>> describe(RefusedError("version 3", "evidence", "mlflow-ext gate run delay 3"))[1]
    403
    """
    code, status = next(told for kinds, told in CODES if isinstance(error, kinds))
    parts = {"found": error.found, "expected": error.expected, "fix": error.fix}
    return {"error_code": code, "message": str(error), **parts}, status


def _parse(body: bytes) -> Any:
    """Read JSON strictly: nested too deep, or no text, it would break a line of the ledger."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        return None


def _is_refusal(document: dict[str, Any], payload: dict[str, Any]) -> bool:
    is_dry_run = TypeAdapter(bool).validate_python(payload.get("dry_run", False))
    decision = document.get("decision")
    return decision is not None and not decision["is_allowed"] and not is_dry_run
