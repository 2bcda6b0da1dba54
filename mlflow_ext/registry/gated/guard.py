"""The net under the gated store: writes of a governed stage or alias that nothing has decided.

The store overrides every method of MLflow's that moves a stage or an alias. A future MLflow may add
one. Whatever method it is, its write goes through a flush of a session that the store has opened,
and there it is refused unless a decision permits it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from mlflow_ext.registry.gated.transaction import PERMIT, STORE

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def watch() -> None:
    """Look at every flush of a session from a gated store; calling it again changes nothing."""
    from sqlalchemy.orm import Session

    for name, check in (("before_flush", _check), ("do_orm_execute", _check_bulk)):
        if not event.contains(Session, name, check):
            event.listen(Session, name, check)


def _check_bulk(state: Any) -> None:
    """Refuse a statement that would change many rows at once, past any flush."""
    is_write = state.is_update or state.is_delete or state.is_insert
    info = state.session.info
    if not is_write or STORE not in info or PERMIT in info or state.bind_mapper is None:
        return
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModelAlias

    if state.bind_mapper.class_ in (SqlModelVersion, SqlRegisteredModelAlias):
        _refuse("stages and aliases of every model", "MODEL")


def _check(session: Session, _context: object, _instances: object) -> None:
    store: Any = session.info.get(STORE)
    if store is None or PERMIT in session.info:
        return
    for model, stages, alias in _moves(session):
        if store.is_governed(session, model, stages, alias):
            _refuse(f"'{alias or ' or '.join(stages)}' of model '{model}'", model)


def _moves(session: Session) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """Yield model, stages and alias of every governed thing that the flush would write."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModelAlias

    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, SqlModelVersion):
            if stages := _stages_touched(row, row in session.deleted):
                yield str(row.name), stages, None
        elif isinstance(row, SqlRegisteredModelAlias):
            yield str(row.name), (), str(row.alias)


def _stages_touched(row: Any, is_deleted: bool) -> tuple[str, ...]:
    changes = sa.inspect(row).attrs.current_stage.history
    unchanged = (row.current_stage,) if is_deleted else ()
    touched = (*(changes.added or ()), *(changes.deleted or ()), *unchanged)
    return tuple(str(stage) for stage in touched if stage)


def _refuse(what: str, model: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    raise MlflowException(
        f"{what}: a policy governs them, and this way round it is closed. "
        f"To mend it: mlflow-ext promote {model} VERSION --to STAGE --reason '...'",
        PERMISSION_DENIED,
    )
