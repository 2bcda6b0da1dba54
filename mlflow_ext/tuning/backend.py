"""The file under a study: lines of JSON, locked by the kernel, many of them written at once.

Optuna's own file backend locks, writes and waits for the disk once for every parameter of every
trial, and its lock is a link that a killed process leaves behind. Here whoever works on a study
takes the lock for one piece of work, and everything the work says goes to the disk together.
"""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from mlflow_ext.errors import StoreUnreachableError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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


def make_lock(file: Path) -> Lock:
    """Make a lock on *file*: the kernel's, or Optuna's where the kernel has none."""
    if fcntl:
        return KernelLock(file)
    from optuna.storages.journal import JournalFileOpenLock

    return JournalFileOpenLock(str(file))


class JournalFile:
    """What Optuna's `JournalStorage` asks of a backend, in the format of Optuna's own file.

    One thread of a process writes; others may read along.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = make_lock(file.with_suffix(".lock"))
        self._known = (0, 0)  # lines read so far, and the bytes they take
        self._tail: tuple[int, bytearray] | None = None  # size of the file, what comes behind it
        self._is_urgent = False
        self._failure: StoreUnreachableError | None = None
        file.touch()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the entries behind the first *log_number_from*; a torn last line is none."""
        number, offset = self._known if self._known[0] <= log_number_from else (0, 0)
        for line in self._read(offset).splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            number, offset = number + 1, offset + len(line)
            self._known = (number, offset)
            if number > log_number_from:
                yield json.loads(line)

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        """Add entries: at once, or with all others when `exclusive` ends."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self.exclusive():
            if self._tail:
                self._tail[1].extend(lines.encode())
            # With the power, what a trial measured half-way may be lost; how it ended may not.
            self._is_urgent |= any("intermediate_value" not in log for log in logs)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep every other process from writing; write what was said inside as one piece."""
        if self._tail is not None:
            yield
            return
        if self._failure:  # what this process knows is ahead of what the file holds
            raise self._failure
        self._lock.acquire()
        try:
            with undisturbed():
                _drop_torn_line(self._file)
                self._tail = (self._file.stat().st_size, bytearray())
                try:
                    yield
                finally:
                    lines, self._tail = bytes(self._tail[1]), None
                    self._write(lines)
        finally:
            self._lock.release()

    def _read(self, offset: int) -> bytes:
        tail = self._tail  # one look: another thread may end its work meanwhile
        size, behind = tail if tail else (self._file.stat().st_size, bytearray())
        if offset >= size:
            return bytes(behind[offset - size :])
        with self._file.open("rb") as journal:
            journal.seek(offset)
            return journal.read(size - offset) + bytes(behind)

    def _write(self, lines: bytes) -> None:
        is_urgent, self._is_urgent = self._is_urgent, False
        if not lines:
            return
        try:
            with self._file.open("ab", buffering=0) as journal:
                _write_all(journal, lines)
                if is_urgent:
                    os.fsync(journal.fileno())
        except OSError as error:
            fix = "make room there and call again: what the journal holds goes on"
            where, cause = str(self._file), error.strerror or str(error)
            self._failure = StoreUnreachableError("study journal", where, cause, fix)
            raise self._failure from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C, and whatever else a program listens to, wait until the block has ended.

    What was said to a study and not written would be missed by nobody but the study.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals interrupt the main thread alone
        return
    arrived: list[int] = []
    listening = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in listening.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for missed in arrived:
            signal.raise_signal(missed)


def _write_all(journal: io.FileIO, lines: bytes) -> None:
    """Write *lines* to the end of the file, or nothing of them: a full disk takes a part."""
    size, rest = journal.tell(), memoryview(lines)
    try:
        while rest:
            rest = rest[journal.write(rest) :]
    except OSError:
        journal.truncate(size)
        raise


def _drop_torn_line(file: Path) -> None:
    """Cut off a last line that was never written to its end: the next would be lost behind it."""
    with file.open("r+b") as journal:
        size = journal.seek(0, os.SEEK_END)
        if not size:
            return
        journal.seek(size - 1)
        if journal.read(1) != b"\n":
            journal.seek(0)
            journal.truncate(journal.read().rfind(b"\n") + 1)
