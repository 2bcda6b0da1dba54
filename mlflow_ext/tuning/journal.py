"""The file that holds the truth about one study, and its lock.

One file per study, in the format of Optuna's journal. Locks are the kernel's where it has them:
they end with the process, so a killed one keeps nobody waiting.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from mlflow_ext.errors import SearchError, StoreUnreachableError
from mlflow_ext.tuning.attributes import DEFINITION, STUDY_ID

if TYPE_CHECKING:
    import optuna

    from mlflow_ext.project import Search

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# How long to search, not what to search: these may differ when a study goes on.
BUDGET = ("n_trials", "timeout")


class Lock(Protocol):
    """What Optuna asks of the lock of a journal."""

    def acquire(self) -> bool:
        """Wait for the lock and take it."""

    def release(self) -> None:
        """Give the lock back."""


class KernelLock:
    """A lock on a file that the kernel releases when its holder ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        handle = self._file.open("ab")
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._held = handle
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._held:
            self._held.close()
            self._held = None


def journal_file(name: str, storage_dir: Path) -> Path:
    """Return where study *name* lies: a readable part and a digest, so that any name will do.

    >>> journal_file("late flights", Path("studies")).as_posix()
    'studies/late-flights-02be09ac.journal'
    """
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return storage_dir / f"{readable or 'study'}-{digest}.journal"


@contextmanager
def locked(file: Path, purpose: str) -> Iterator[None]:
    """Let one process at a time do *purpose* with the journal *file*."""
    lock = _lock(file.with_suffix(f".{purpose}"))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def open_study(search: Search, name: str, storage_dir: Path) -> optuna.Study:
    """Begin study *name*, or go on with it.

    Args:
        search: What is searched; must be what the study was begun with, but for its budget.
        name: Any text but none.
        storage_dir: Folder of the journals; made when missing.

    Returns:
        The study, on its journal.

    Raises:
        SearchError: The study was begun with another search, has no name, or its journal is
            damaged.
        StoreUnreachableError: The folder cannot be written.
    """
    import optuna

    if not name:  # Optuna would invent one, and never find it again
        raise SearchError("the name of the study is empty", "any text", "choose a study name")
    file = journal_file(name, storage_dir)
    with quiet_optuna(), _readable(file), locked(file, "claim"):
        study = optuna.create_study(
            storage=_open_storage(file),
            study_name=name,
            direction=search.direction,
            load_if_exists=True,
        )
        _check_definition(study, search, file)
    return study


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let Optuna say warnings only, and none about its experimental parts."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        fix = "choose a folder that can be written"
        raise StoreUnreachableError("study journal", str(file), str(error), fix) from error
    except (ValueError, KeyError) as error:
        found = f"the study journal {file} is damaged: {error!r}"
        raise SearchError(found, "one JSON object a line", "choose another study name") from error


def _open_storage(file: Path) -> optuna.storages.JournalStorage:
    import optuna

    lock = _lock(file.with_suffix(".lock"))
    _drop_torn_line(file, lock)
    backend = optuna.storages.journal.JournalFileBackend(str(file), lock)  # type: ignore[arg-type]
    return optuna.storages.JournalStorage(backend)


def _lock(file: Path) -> Lock:
    if fcntl:
        return KernelLock(file)
    from optuna.storages.journal import JournalFileOpenLock

    return JournalFileOpenLock(str(file))


def _drop_torn_line(file: Path, lock: Lock) -> None:
    """Cut off a last line that was never written to its end.

    Optuna skips such a line but appends the next one right behind it, and then reads neither.
    """
    lock.acquire()
    try:
        content = file.read_bytes() if file.exists() else b""
        if content and not content.endswith(b"\n"):
            with file.open("r+b") as journal:
                journal.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _check_definition(study: optuna.Study, search: Search, file: Path) -> None:
    wanted = _definition(search)
    begun = study.user_attrs.get(DEFINITION)
    if begun is None:
        study.set_user_attr(STUDY_ID, uuid.uuid4().hex)
        study.set_user_attr(DEFINITION, wanted)
    elif begun != wanted:
        keys = [key for key in {**begun, **wanted} if begun.get(key) != wanted.get(key)]
        shown = "; ".join(f"{key} was {begun.get(key)}, is {wanted.get(key)}" for key in keys)
        raise SearchError(
            f"study '{study.study_name}' in {file} was begun with another search: {shown}",
            "the search the study was begun with; only n_trials and timeout may change",
            "choose another study name",
        )


def _definition(search: Search) -> dict[str, Any]:
    """The search as JSON gives it back, so that it compares equal to what a journal holds."""
    values = {key: value for key, value in asdict(search).items() if key not in BUDGET}
    space = values.pop("space")
    flat = {**values, **{f"space.{name}": range_ for name, range_ in space.items()}}
    found: dict[str, Any] = json.loads(json.dumps(flat))
    return found
