"""Where the truth about a study lies: a journal file, or a place that several machines share."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlflow_ext.errors import SearchError, StoreUnreachableError
from mlflow_ext.tuning.backend import JournalFile, make_lock
from mlflow_ext.tuning.reentrant import Reentrant

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import URL, Connection, Engine

    from mlflow_ext.project import Search

# A lock of MySQL is the whole server's, and MariaDB takes no wait without an end: a year, then.
MYSQL_LOCK = (
    "SELECT GET_LOCK(SHA1(CONCAT(DATABASE(), '.', '{key}')), 31536000)",
    "SELECT RELEASE_LOCK(SHA1(CONCAT(DATABASE(), '.', '{key}')))",
)
# How a database is asked to let one session at a time go on, whatever machine it comes from.
SESSION_LOCKS = {
    "postgresql": ("SELECT pg_advisory_lock({key})", "SELECT pg_advisory_unlock({key})"),
    "mysql": MYSQL_LOCK,
    "mariadb": MYSQL_LOCK,
}


class StudyStore(Protocol):
    """One study's place."""

    @property
    def where(self) -> str:
        """The place in words, without a password."""

    @property
    def storage(self) -> optuna.storages.BaseStorage:
        """The place as Optuna sees it."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Let one process at a time work on the study; inside itself it does nothing more."""


class JournalStore:
    """A journal file: the fastest place, for the processes of one machine."""

    def __init__(self, file: Path) -> None:
        self.where = str(file)
        self._backend = JournalFile(file)

    @cached_property
    def storage(self) -> optuna.storages.BaseStorage:
        """The journal as Optuna sees it."""
        from mlflow_ext.tuning.replay import StudyJournal

        return StudyJournal(self._backend)

    def exclusive(self) -> AbstractContextManager[None]:
        """Let one process at a time work on the study; what it says is written as one piece."""
        return self._backend.exclusive()


class DatabaseStore:
    """A database that Optuna knows: slower, and open to many machines."""

    def __init__(self, url: str, name: str) -> None:
        from sqlalchemy.engine import make_url

        address = make_url(url)
        self._url, self._turn = url, Reentrant(self._locked)
        self.where = address.render_as_string(hide_password=True)
        digest = hashlib.sha256(encode_name(name)).digest()
        self._key = int.from_bytes(digest[:7], "big")  # positive in the 8 bytes of a lock's key

    @cached_property
    def storage(self) -> optuna.storages.RDBStorage:
        """The database as Optuna sees it."""
        import optuna

        with self._locked():  # of two that make the tables at once, one would fail
            return optuna.storages.RDBStorage(self._url, engine_kwargs={"pool_pre_ping": True})

    @cached_property
    def _engine(self) -> Engine:
        from sqlalchemy import create_engine

        return create_engine(self._url, pool_pre_ping=True)

    def exclusive(self) -> AbstractContextManager[None]:
        """Let one process at a time work on the study, on whatever machine it runs."""
        return self._turn.held()

    def _locked(self) -> AbstractContextManager[None]:
        engine = self._engine
        if engine.dialect.name == "sqlite":
            return _holding(Path(f"{engine.url.database}.lock"))
        return self._session(engine.connect(), *SESSION_LOCKS[engine.dialect.name])

    @contextmanager
    def _session(self, connection: Connection, acquire: str, release: str) -> Iterator[None]:
        with connection:  # the lock ends with the session, however that ends
            answer = connection.exec_driver_sql(acquire.format(key=self._key)).scalar()
            if answer in (0, None):  # which MySQL says of a lock that it has not given
                found = "it gave no lock"
                fix = "start the command again; the study goes on"
                raise StoreUnreachableError("study database", self.where, found, fix)
            try:
                yield
            finally:
                connection.exec_driver_sql(release.format(key=self._key))


def find_store(search: Search, name: str, storage_dir: Path) -> StudyStore:
    """Return the place of study *name*: what *search* names, or a journal file.

    Raises:
        OSError: The folder of the journal cannot be written.
        SearchError: The place that is named cannot hold a study.
    """
    if search.storage:
        return _find_shared_store(search.storage, name)
    storage_dir.mkdir(parents=True, exist_ok=True)
    return JournalStore(journal_file(name, storage_dir))


def journal_file(name: str, storage_dir: Path) -> Path:
    """Return where study *name* lies: a readable part and a digest, so that any name will do.

    >>> journal_file("late flights", Path("studies")).as_posix()
    'studies/late-flights-02be09ac.journal'
    """
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]
    digest = hashlib.sha256(encode_name(name)).hexdigest()[:8]
    return storage_dir / f"{readable or 'study'}-{digest}.journal"


def _find_shared_store(url: str, name: str) -> StudyStore:
    from sqlalchemy.engine import make_url

    from mlflow_ext.tuning.proxy import ProxyStore, is_proxy

    encode_name(name)
    if is_proxy(url):
        return ProxyStore(url, name)
    _check_kind(make_url(url))
    return DatabaseStore(url, name)


def _check_kind(address: URL) -> None:
    kind = address.get_backend_name()
    known = f"the URL of a database, sqlite:///FILE or one of {', '.join(SESSION_LOCKS)}, "
    known += "or grpc://HOST:PORT"
    if kind == "sqlite" and address.database in (None, "", ":memory:"):
        found = "search.storage is a database in memory, which ends with its process"
        raise SearchError(found, known, "name a file, or leave 'storage' out")
    if kind not in ("sqlite", *SESSION_LOCKS):
        found = f"search.storage is a database of kind '{kind}'"
        raise SearchError(found, known, "write such a URL, or leave 'storage' out")


@contextmanager
def reaching(where: str) -> Iterator[None]:
    """Say that the shared place of a study does not answer, when that ends the block.

    Args:
        where: The place, in words.

    Raises:
        StoreUnreachableError: The database or proxy has gone, or refuses.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    outages: tuple[type[Exception], ...] = (SQLAlchemyError, StorageInternalError)
    if grpc := sys.modules.get("grpc"):
        outages += (grpc.RpcError,)
    try:
        yield
    except outages as error:
        fix = "start it, or correct 'storage' in project.yaml; the study goes on"
        raise StoreUnreachableError("study database", where, find_cause(error), fix) from error


def find_cause(error: Exception) -> str:
    """Say in one line what a database or proxy has answered, and not what Optuna makes of it."""
    details = getattr(error, "details", None)  # of gRPC
    said = details() if callable(details) else str(error.__cause__ or error)
    return str(said).strip().partition("\n")[0]


def encode_name(name: str) -> bytes:
    """Return the name of a study as files, databases and servers keep it.

    Raises:
        SearchError: It holds half a character, as the shell hands over what is no UTF-8.
    """
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        found = f"the name of the study, {name!r}, holds half a character"
        raise SearchError(found, "text in UTF-8", "choose another study name") from error


@contextmanager
def _holding(file: Path) -> Iterator[None]:
    lock = make_lock(file)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
