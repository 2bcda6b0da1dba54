"""A workspace stays while it holds governed models: deleting it would move or erase them undecided.

MLflow's store of workspaces is another one than the registry's and writes in sessions of its own,
so the guard stands in front of the route. The one way that MLflow leaves to delete what is not
empty is refused; deleting a workspace that holds nothing any more is MLflow's own business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.errors import MlflowExtError, RefusedError
from mlflow_ext.registry.gated.api import tell
from mlflow_ext.registry.gated.governance import find_policy
from mlflow_ext.registry.gated.standing import DELETED, IS_PROMPT, PROMPT_SOURCES
from mlflow_ext.registry.gated.transaction import Moment

if TYPE_CHECKING:
    from flask import Flask, Response

    from mlflow_ext.registry.gated.store import GatedStore

ROUTE = "_delete_workspace_handler"
"""Flask's name of MLflow's route, under each of its addresses."""


def guard_workspaces(app: Flask) -> None:
    """Guard the route that deletes a workspace; after basic-auth has let the request in."""
    app.before_request(refuse_deletion)


def refuse_deletion() -> Response | None:
    """Refuse the request at hand when it would delete a workspace that holds governed models."""
    from flask import request
    from mlflow.entities.workspace import WorkspaceDeletionMode
    from mlflow.server.handlers import _get_model_registry_store

    from mlflow_ext.registry.gated.store import GatedStore

    if request.endpoint != ROUTE:
        return None
    restrict = WorkspaceDeletionMode.RESTRICT.value
    mode = request.args.get("mode", restrict)
    store = _get_model_registry_store()
    if mode == restrict or not isinstance(store, GatedStore):
        return None
    is_moving = mode == WorkspaceDeletionMode.SET_DEFAULT.value
    try:
        check_deletion(store, str((request.view_args or {})["workspace_name"]), is_moving)
    except MlflowExtError as error:
        return tell(error)
    return None


def check_deletion(store: GatedStore, workspace: str, is_moving: bool) -> None:
    """Let a workspace go that holds no governed model.

    Args:
        store: The registry.
        workspace: The one to be deleted.
        is_moving: What it holds goes to the default workspace, and under the policies there.

    Raises:
        RefusedError: It holds one.
        LedgerError: A policy of the ledger was edited.
    """
    from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

    ruling = [workspace, DEFAULT_WORKSPACE_NAME] if is_moving else [workspace]
    with store.reading() as moment:
        for model in _models(moment, workspace):
            for place in ruling:
                policy, _ = find_policy(replace(moment, workspace=place, model=model))
                if policy.stages:
                    raise RefusedError(
                        f"workspace '{workspace}' holds model '{model}', which policy "
                        f"'{policy.name}' of workspace '{place}' governs",
                        "a workspace without governed models: what becomes of each is decided and "
                        "recorded",
                        f"delete its models first, beginning with '{model}'",
                    )


def _models(moment: Moment, workspace: str) -> Iterator[str]:
    """Yield the registered models of a workspace that are not prompts throughout."""
    from mlflow.store.model_registry.dbmodels.models import (
        SqlModelVersion,
        SqlRegisteredModel,
        SqlRegisteredModelTag,
    )

    model, version, tag = map(_table, (SqlRegisteredModel, SqlModelVersion, SqlRegisteredModelTag))
    tagged = _of(tag, model).where(tag.c.key == IS_PROMPT)
    real = _of(version, model).where(
        version.c.current_stage != DELETED, version.c.source.not_in(PROMPT_SOURCES)
    )
    named = sa.select(model.c.name).where(
        model.c.workspace == workspace, sa.or_(~tagged.exists(), real.exists())
    )
    yield from moment.connection.execute(named.order_by(model.c.name)).scalars()


def _table(mapped: type) -> Any:
    return sa.inspect(mapped).local_table


def _of(part: Any, model: Any) -> Any:
    same = part.c.workspace == model.c.workspace, part.c.name == model.c.name
    return sa.select(part.c.name).where(*same)
