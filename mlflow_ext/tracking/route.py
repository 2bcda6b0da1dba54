"""``runs:bulk``: the route by which a server takes many finished runs in one call.

The routes are Flask's, because that is what MLflow's basic-auth guards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mlflow_ext.errors import BulkError
from mlflow_ext.tracking.runs import MAX_RUNS, RunContent

if TYPE_CHECKING:
    from flask import Flask

PATH = "/api/2.0/mlflow-ext/runs:bulk"
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class BulkRequest:
    """The body of a call."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    experiment_id: str
    runs: tuple[RunContent, ...]


def add_routes(app: Flask) -> None:
    """Let MLflow's web application take many runs at once, and say how many."""
    from mlflow.server.handlers import catch_mlflow_exception

    for method, view in (("GET", tell_limit), ("POST", take_runs)):
        guarded = catch_mlflow_exception(view)  # type: ignore[no-untyped-call]
        app.add_url_rule(_path(), f"mlflow_ext/runs:bulk/{method}", guarded, methods=[method])


def validators() -> dict[tuple[str, str], Callable[[], bool]]:
    """Return (path, method) -> whether the user of the request at hand may do that."""
    return {(_path(), "GET"): lambda: True, (_path(), "POST"): may_write}


def tell_limit() -> dict[str, int]:
    """Answer how many runs one call may hold."""
    _store()
    return {"max_runs": MAX_RUNS}


def take_runs() -> dict[str, Any]:
    """Write the runs of the request at hand."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    from mlflow_ext.tracking.bulk import write_bulk

    try:
        request = _read()
        return asdict(write_bulk(_store(), request.experiment_id, request.runs))
    except BulkError as error:
        raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from None


def may_write() -> bool:
    """Tell whether the user of the request at hand may make runs in its experiment."""
    from mlflow.server import auth
    from mlflow.server.auth.requirements import ACTION_NOT_DENIED, Requirement

    try:
        experiment = ("experiment", _read().experiment_id)
    except BulkError:
        return True  # the answer will be that it cannot be read
    needs = [Requirement(*experiment, "update"), Requirement("run", "*", ACTION_NOT_DENIED)]
    user: Any = auth.authenticate_request()  # MLflow has let it in before it asks here
    return bool(auth.authorize(user.username, experiment, needs))


def _path() -> str:
    from mlflow.server.handlers import _add_static_prefix

    path: str = _add_static_prefix(PATH)
    return path


def _store() -> Any:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import NOT_IMPLEMENTED
    from mlflow.server.handlers import _get_tracking_store
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = _get_tracking_store()
    if not isinstance(store, SqlAlchemyStore):
        raise MlflowException("the runs of this server are not in a database", NOT_IMPLEMENTED)
    return store


def _read() -> BulkRequest:
    """Return the body of the request at hand; it is read once."""
    from flask import g, request
    from pydantic import TypeAdapter, ValidationError

    if "mlflow_ext_bulk" in g:
        read: BulkRequest = g.mlflow_ext_bulk
        return read
    if not request.is_json or (request.content_length or 0) > MAX_BYTES:
        raise BulkError(None, "the body", f"a JSON object of at most {MAX_BYTES} bytes")
    try:
        body = TypeAdapter(BulkRequest).validate_json(request.get_data(), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        index = next((part for part in first["loc"] if isinstance(part, int)), None)
        raise BulkError(index, f"{where}: {first['msg']}") from None
    g.mlflow_ext_bulk = body
    return body
