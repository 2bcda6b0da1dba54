"""The rights of basic-auth on each operation of a gated registry.

MLflow asks a validator for each path and method of its own; paths it has never heard of are closed
to everybody but its admins. These are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mlflow_ext.errors import RequestError
from mlflow_ext.registry.gated.api import read_payload, route
from mlflow_ext.registry.gated.operations._operation import AboutModel, Nothing, Right
from mlflow_ext.registry.gated.service import OPERATIONS

Validator = Callable[[], bool]


def validators() -> dict[tuple[str, str], Validator]:
    """Return (path, method) -> whether the user of the request at hand may do that."""
    return {route(name): partial(may, name) for name in OPERATIONS}


def may(name: str) -> bool:
    """Tell whether the user of the request at hand may have the operation called *name*.

    Operations about one model ask for their right on that model, as MLflow's own do on a version.
    What tells of all models at once is for admins; MLflow does not ask about those.
    """
    operation = OPERATIONS[name]
    if operation.right is Right.ADMIN:
        return False
    if operation.payload is Nothing:
        return True
    try:
        model = read_payload(name).get("model")
    except RequestError:
        return True  # the answer will be that it cannot be read
    if not model:
        return issubclass(operation.payload, AboutModel)  # that it is missing
    return isinstance(model, str) and _has_right(operation.right, model)


def _has_right(right: Right, model: str) -> bool:
    """Ask as MLflow does before it shows a version, or changes its stage."""
    from mlflow.server import auth
    from mlflow.server.auth.requirements import ACTION_NOT_DENIED, Requirement

    registered, version = "registered_model", "registered_model_version"
    container = (registered, model)
    read = Requirement(*container, "read")
    needs = {
        Right.READ: [read, Requirement(version, "*", ACTION_NOT_DENIED)],
        Right.UPDATE: [
            read,
            Requirement(version, "*", "update", fallback_if_no_grant=(container,)),
        ],
        Right.MANAGE: [Requirement(*container, "manage")],
    }
    user: Any = auth.authenticate_request()  # MLflow has let it in before it asks here
    return bool(auth.authorize(user.username, container, needs[right]))
