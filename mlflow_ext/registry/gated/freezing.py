"""Files that were judged stay as they are: uploads to them and deletions are refused.

A stock server lets whoever may write an experiment overwrite the files of a model in Production.
MLflow serves one of its upload routes by FastAPI and the others by Flask, so there are two guards:
`FreezeArtifacts` around the first, `freeze_routes` in front of the others.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import MlflowExtError, RefusedError
from mlflow_ext.records import Kind
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.api import describe, tell
from mlflow_ext.registry.gated.caller import current_caller
from mlflow_ext.registry.gated.governance import find_policy
from mlflow_ext.registry.gated.places import keep, places_of, spell
from mlflow_ext.registry.gated.standing import read_standing
from mlflow_ext.registry.gated.transaction import Moment, now_ms

if TYPE_CHECKING:
    from flask import Flask, Response
    from sqlalchemy import Connection

    from mlflow_ext.registry.gated.store import GatedStore

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Message, Receive, Send], Awaitable[None]]

# Wherever in the path: behind whatever prefix the application is mounted.
UPLOAD = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts/(.+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request would write or delete."""

    place: str
    """As `mlflow_ext.registry.gated.places.spell` writes it."""
    is_folder: bool = False
    """All below it goes too."""


def check(target: Target) -> None:
    """Let a request pass, unless it would change files that were judged.

    Raises:
        RefusedError: They belong to a version that holds evidence or a protected stage.
        LedgerError: A line of the ledger that matters was edited.
    """
    from mlflow.server.handlers import _get_model_registry_store

    from mlflow_ext.registry.gated.store import GatedStore

    store = _get_model_registry_store()
    if isinstance(store, GatedStore):
        _check_in(store, target)


class FreezeArtifacts:
    """ASGI middleware around the upload route that FastAPI serves.

    A file that is long on its way may have been judged before it arrives. So it is asked again
    when the last byte is there, right before MLflow puts the file in its place.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it in the application's stead."""
        path = UPLOAD.search(scope["path"]) if scope.get("method") == "PUT" else None
        if path is None:
            await self.app(scope, receive, send)
            return
        try:
            await _check_upload(path[1])
            await self.app(scope, _checked_again(path[1], receive), send)
        except MlflowExtError as error:
            from starlette.responses import JSONResponse

            await JSONResponse(*describe(error))(scope, receive, send)


def freeze_routes(app: Flask) -> None:
    """Guard the routes of Flask's that write or delete files; after basic-auth has let them in."""
    app.before_request(refuse_frozen)


def refuse_frozen() -> Response | None:
    """Refuse the request at hand when it would change files that were judged."""
    from flask import request
    from mlflow.exceptions import MlflowException

    find_target = TARGETS.get(request.endpoint or "")
    if find_target is None:
        return None
    try:
        target = find_target(request.view_args or {})
    except MlflowException:
        return None  # MLflow's own handler fails on the same, and says so in its own words
    try:
        if target is not None:
            check(target)
    except MlflowExtError as error:
        return tell(error)
    return None


def _check_in(store: GatedStore, target: Target) -> None:
    with store.reading() as moment:
        connection = moment.connection
        places = places_of(store.engine)
        for row in places.find(connection, target.place, is_folder=target.is_folder):
            grounds = _grounds(connection, *row)
            if grounds:
                raise RefusedError(
                    f"the files of version {row.version} of model '{row.name}' are frozen: "
                    f"{grounds}",
                    "files that no version holds evidence about",
                    "register the changed files as a new version, and judge that one: "
                    f"mlflow-ext gate run {row.name} VERSION",
                )


def _grounds(
    connection: Connection, workspace: str, model: str, version: int, created_ms: int
) -> str | None:
    """Say why the files of a version must stay as they are; None when they need not."""
    moment = Moment(
        connection=connection,
        workspace=workspace,
        model=model,
        caller=current_caller(),
        now_ms=now_ms(),
    )
    identity = {"version": version, "version_created_ms": created_ms}
    if ledger.read_newest(connection, workspace, model, Kind.EVIDENCE, **identity):
        return "it holds evidence"
    policy, _ = find_policy(moment)
    stage = read_standing(connection, workspace, model, version).protected(policy).get(version)
    return f"it holds {stage}" if stage else None


async def _check_upload(path: str) -> None:
    import anyio
    from mlflow.exceptions import MlflowException

    try:
        target = _served(path)
    except MlflowException:
        return  # no safe path: MLflow refuses it
    await anyio.to_thread.run_sync(check, target)


def _checked_again(path: str, receive: Receive) -> Receive:
    async def receive_checked() -> Message:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            await _check_upload(path)
        return message

    return receive_checked


def _served(path: str, *, is_folder: bool = False) -> Target:
    """Return what MLflow's own handlers make of a path below ``mlflow-artifacts/``."""
    from mlflow.server.handlers import _get_workspace_scoped_repo_path_if_enabled
    from mlflow.utils.uri import validate_path_is_safe

    safe = validate_path_is_safe(path)  # type: ignore[no-untyped-call]
    scoped = str(_get_workspace_scoped_repo_path_if_enabled(safe))
    return Target(place=spell(keep(scoped)), is_folder=is_folder)


def _file(named: dict[str, Any]) -> Target:
    return _served(named["artifact_path"])


def _folder(named: dict[str, Any]) -> Target:
    return _served(named["artifact_path"], is_folder=True)


def _file_of_run(_: dict[str, Any]) -> Target | None:
    """``upload-artifact`` of the web UI: a file of a run, wherever its experiment keeps them."""
    from flask import request
    from mlflow.server.handlers import (
        _get_tracking_store,
        _is_servable_proxied_run_artifact_root,
    )
    from mlflow.utils.uri import validate_path_is_safe

    run_id, path = request.args.get("run_uuid"), request.args.get("path")
    if not run_id or not path:
        return None
    info = _get_tracking_store().get_run(run_id).info  # type: ignore[no-untyped-call]
    if _is_servable_proxied_run_artifact_root(info.artifact_uri):  # type: ignore[no-untyped-call]
        return _served(f"{info.experiment_id}/{run_id}/artifacts/{path}")
    safe = validate_path_is_safe(path)  # type: ignore[no-untyped-call]
    return Target(place=spell(f"{info.artifact_uri}/{safe}"))


def _presigned(_: dict[str, Any]) -> Target:
    """An address by which a client writes to the store itself; good for some minutes."""
    from mlflow.protos.service_pb2 import CreatePresignedUploadUrl

    asked = _message(CreatePresignedUploadUrl())
    root = _root_of_run(asked.run_id) if asked.run_id else _root_of_model(asked.model_id)
    return Target(place=spell(f"{root}/{asked.path}"))


def _logged_model(named: dict[str, Any]) -> Target:
    """Deleting a logged model: `mlflow gc` erases the files of what is marked as deleted."""
    return Target(place=spell(_root_of_model(named["model_id"])), is_folder=True)


def _run(_: dict[str, Any]) -> Target:
    from mlflow.protos.service_pb2 import DeleteRun

    run_id = _message(DeleteRun()).run_id
    return Target(place=spell(_root_of_run(run_id)), is_folder=True)


def _experiment(_: dict[str, Any]) -> Target:
    from mlflow.protos.service_pb2 import DeleteExperiment
    from mlflow.server.handlers import _get_tracking_store

    number = _message(DeleteExperiment()).experiment_id
    found = _get_tracking_store().get_experiment(number)  # type: ignore[no-untyped-call]
    return Target(place=spell(found.artifact_location), is_folder=True)


TARGETS: dict[str, Callable[[dict[str, Any]], Target | None]] = {
    "_upload_artifact": _file,
    "_delete_artifact_mlflow_artifacts": _folder,
    "_create_multipart_upload_artifact": _file,
    "_complete_multipart_upload_artifact": _file,
    "_abort_multipart_upload_artifact": _file,
    "_create_presigned_upload_url": _presigned,
    "serve_upload_artifact": _file_of_run,
    "_delete_logged_model": _logged_model,
    "_delete_run": _run,
    "_delete_experiment": _experiment,
}
"""Flask's name of each route of MLflow's that writes or deletes files -> what of them."""


def _message(empty: Any) -> Any:
    """Read the request at hand as MLflow's handler will."""
    from mlflow.server.handlers import _get_request_message

    return _get_request_message(empty)  # type: ignore[no-untyped-call]


def _root_of_run(run_id: str) -> str:
    from mlflow.server.handlers import _get_tracking_store

    return str(_get_tracking_store().get_run(run_id).info.artifact_uri)  # type: ignore[no-untyped-call]


def _root_of_model(model_id: str) -> str:
    from mlflow.server.handlers import _get_tracking_store

    return str(_get_tracking_store().get_logged_model(model_id).artifact_location)
