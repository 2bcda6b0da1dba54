"""Where the files of every registered version lie, in one spelling, to be asked at each upload."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from mlflow_ext.data.model_files import DESTINATION_VARIABLE, served_path
from mlflow_ext.registry.gated.standing import DELETED, PROMPT_SOURCES
from mlflow_ext.registry.gated.tables import heads

if TYPE_CHECKING:
    from sqlalchemy import Connection

STAMP = sa.select(sa.func.sum(heads.c.seq))
OVERLAP_MS = 3_600_000
"""How far the clocks of two servers may differ before one overlooks a version of the other's."""


class Places:
    """Knows every place that the registry ever named; what is there now, the database says.

    A version that could be frozen has a line in the ledger. As long as no ledger has grown there is
    nothing to learn, and asking costs one small query.
    """

    def __init__(self) -> None:
        self._spellings: dict[str, set[str]] = {}
        self._stamp = -1
        self._newest_ms = 0
        self._learning = Lock()

    def find(self, connection: Connection, place: str, *, is_folder: bool) -> list[Any]:
        """Return the versions whose files include *place*.

        Args:
            connection: A connection of the registry.
            place: Of a file, as `spell` writes it.
            is_folder: It is a folder, and all that lies below it matters too.
        """
        self._learn(connection)
        touched = list(_ancestors(place))
        if is_folder:
            touched += [known for known in list(self._spellings) if _is_below(known, place)]
        found = {each for known in touched for each in self._spellings.get(known, ())}
        if not found:
            return []
        return list(connection.execute(_queries()[1], {"spellings": sorted(found)}))

    def _learn(self, connection: Connection) -> None:
        stamp = int(connection.execute(STAMP).scalar() or 0)
        if stamp == self._stamp:
            return
        with self._learning:
            since = self._newest_ms - OVERLAP_MS
            for storage, workspace, created_ms in connection.execute(
                _queries()[0], {"since": since}
            ):
                place = spell(storage, workspace)
                self._spellings.setdefault(place, set()).add(storage)
                self._newest_ms = max(self._newest_ms, int(created_ms))
            self._stamp = stamp


_known: WeakKeyDictionary[Any, Places] = WeakKeyDictionary()


def places_of(engine: Any) -> Places:
    """Return what this process knows about the database behind *engine*."""
    return _known.setdefault(engine, Places())


def spell(location: str, workspace: str = "") -> str:
    """Write a location in the one form in which places are compared.

    What this server serves is written as where it keeps it, so that a file has one place whether a
    version names it by ``mlflow-artifacts:``, by the server's address or directly.

    Args:
        location: A URI or a local path.
        workspace: Of the version; what it names by ``mlflow-artifacts:`` lies in its own folder.

    >>> spell("s3://bucket/1//models/./m%2D1/artifacts/")
    's3://bucket/1/models/m-1/artifacts'
    >>> spell("file:///srv/1/../2")
    '/srv/2'
    """
    served = served_path(location)
    if served:
        location = keep(_plain(served).lstrip("/"), workspace)
    url = urlparse(location)
    if url.scheme in ("", "file"):
        path = location if url.scheme == "" else url.path
        return str(Path(os.path.abspath(_decoded(path))))  # noqa: PTH100  resolves no links
    return f"{url.scheme}://{url.netloc}{_plain(f'/{url.path}')}".rstrip("/")


def keep(path: str, workspace: str = "") -> str:
    """Return where this server keeps what it serves under *path*.

    Args:
        path: Relative to the destination of its artifacts, as plain text.
        workspace: Whose; empty where *path* says that already.
    """
    from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

    if workspace not in ("", DEFAULT_WORKSPACE_NAME) and not path.startswith("workspaces/"):
        path = f"workspaces/{workspace}/{path}"
    return f"{os.environ.get(DESTINATION_VARIABLE, '').rstrip('/')}/{path}"


def _plain(path: str) -> str:
    return posixpath.normpath(_decoded(path)).replace("//", "/")


def _decoded(path: str) -> str:
    """Undo percent-encoding as MLflow does, as often as there is some."""
    while (decoded := unquote(path)) != path:
        path = decoded
    return path


def _ancestors(place: str) -> Iterator[str]:
    yield place
    while (parent := posixpath.dirname(place)) != place:
        place = parent
        yield place


def _is_below(place: str, folder: str) -> bool:
    return place.startswith(f"{folder.rstrip('/')}/")


@cache
def _queries() -> tuple[Any, Any]:
    """Build the queries once: the places since some time, and the versions that name a place."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    held: Any = sa.inspect(SqlModelVersion).local_table
    storage = sa.func.coalesce(sa.func.nullif(held.c.storage_location, ""), held.c.source)
    is_there = (held.c.current_stage != DELETED) & storage.is_not(None)
    is_model = held.c.source.not_in(PROMPT_SOURCES)
    recent = held.c.creation_time >= sa.bindparam("since")
    named = storage.in_(sa.bindparam("spellings", expanding=True))
    identity = (held.c.workspace, held.c.name, held.c.version, held.c.creation_time)
    return (
        sa.select(storage, held.c.workspace, held.c.creation_time).where(
            is_there, is_model, recent
        ),
        sa.select(*identity).where(is_there, named).order_by(held.c.name, held.c.version),
    )
