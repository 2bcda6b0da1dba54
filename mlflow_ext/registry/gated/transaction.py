"""One database transaction around several calls of MLflow's own store.

MLflow opens a session for each call. Here a call that is made inside an outer transaction joins it,
so that the check, MLflow's own change and the line in the ledger are committed together or not at
all, and no code of MLflow's is copied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.errors import MlflowExtError
from mlflow_ext.registry.gated.caller import Caller
from mlflow_ext.registry.gated.tables import heads

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

OpenSession = Callable[..., "AbstractContextManager[Session]"]
PERMIT = "mlflow_ext.permit"
"""Key of `Session.info`: the registry itself is at work, the guard lets it pass."""
AHEAD = "mlflow_ext.ahead"
"""Key of `Session.info`: a version is loaded with its parts."""
STORE = "mlflow_ext.store"
"""Key of `Session.info`: the gated store that opened the session."""
LOCK_FILE = heads.update().where(sa.false()).values(seq=heads.c.seq)
"""Changes nothing. SQLite has no row locks: any write, even this, locks the file until the end."""

_outer: ContextVar[Session] = ContextVar("mlflow_ext_outer_session")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One transaction about one model: who asks, when, and the connection that holds its lock."""

    connection: Connection
    """Of the session that MLflow's own calls join; our statements need no more of it."""
    workspace: str
    model: str
    caller: Caller
    now_ms: int


def joining(open_session: OpenSession, store: object) -> OpenSession:
    """Return MLflow's session maker changed so that a call inside `transaction` joins it."""

    @contextmanager
    def join(read_only: bool = True) -> Iterator[Session]:
        outer = _outer.get(None)
        if outer is not None and outer.info.get(STORE) is store:
            yield outer
            return
        with open_session(read_only=read_only) as session:
            session.info[STORE] = store
            yield session

    return join


@contextmanager
def opened(open_session: OpenSession, is_read_only: bool) -> Iterator[Session]:
    """Open a session that lets our errors out as they are; MLflow's makes internal ones of them."""
    failure = None
    with open_session(read_only=is_read_only) as session:
        try:
            yield session
        except MlflowExtError as error:
            session.rollback()
            failure = error
    if failure:
        raise failure


@contextmanager
def transaction(open_session: OpenSession, store: object) -> Iterator[Session]:
    """Open the transaction that calls of *store* made inside the block join."""
    with opened(open_session, is_read_only=False) as session:
        session.info[STORE] = store
        token = _outer.set(session)
        try:
            yield session
        finally:
            _outer.reset(token)


@contextmanager
def loading_ahead() -> Iterator[None]:
    """Let MLflow load a version in one query with all that it puts into its answer.

    It would ask for the model, the tags and the aliases one after the other, flush in between, and
    ask for the model once more: four statements. Should its methods change, they only cost more.
    """
    session = _outer.get()
    session.info[AHEAD] = True
    try:
        yield
        session.flush()  # now, and not while others wait for the head of the chain
    finally:
        del session.info[AHEAD]


@cache
def parts_of(model: type) -> tuple[Any, ...]:
    """Return how the tags of a version, its model and the aliases are loaded together with it."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel
    from sqlalchemy.orm import joinedload

    if model is not SqlModelVersion:
        return ()
    version: Any = SqlModelVersion
    registered: Any = SqlRegisteredModel
    whole = joinedload(version.registered_model, innerjoin=True)
    aliases = whole.joinedload(registered.registered_model_aliases)
    return joinedload(version.model_version_tags), aliases


def lock_model(connection: Connection, workspace: str, *names: str) -> None:
    """Hold registered models until the end of the transaction; one at a time decides about each."""
    if connection.dialect.name == "sqlite":
        connection.execute(LOCK_FILE)
        return
    for name in sorted(names):  # always in this order, so that two never wait for each other
        connection.execute(_lock_row(), {"ours": workspace, "model": name})


@cache
def _lock_row() -> Any:
    from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModel

    table: Any = sa.inspect(SqlRegisteredModel).local_table
    is_ours = table.c.workspace == sa.bindparam("ours")
    where = is_ours & (table.c.name == sa.bindparam("model"))
    return sa.select(table.c.name).where(where).with_for_update()


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
