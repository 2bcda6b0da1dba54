"""The file under a study: lines of JSON, locked by the kernel, many of them written at once.

Optuna's own file backend locks, writes and waits for the disk once for every parameter of every
trial, and its lock is a link that a killed process leaves behind. Here whoever works on a study
takes the lock for one piece of work, and everything the work says is written together. A process
that is killed loses nothing of it. Only a machine that loses its power could, so the disk is waited
for `SETTLE_SECONDS` apart. What is lost that way is run again, and nobody has seen it: who reads
what others wrote waits for the disk first.
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from mlflow_ext.errors import StoreUnreachableError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


SETTLE_SECONDS = 0.1
OPERATION = "op_code"
"""Key of what an entry does: of a type of Optuna's own, equal to the number that is written."""
PLAIN = frozenset({int, float, str, bool, type(None)})
"""Types of values that come back from JSON as they were."""
# Made once: a study says thousands of lines.
_encode, _decode = json.JSONEncoder(separators=(",", ":")).encode, json.JSONDecoder().decode


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
        self._held: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except BaseException:  # Ctrl-C, who waits may be told to stop
            os.close(handle)
            raise
        self._held = handle
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            os.close(self._held)
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
        self._plain: dict[bytes, dict[str, Any]] = {}  # lines behind it that need no decoding
        self._is_unsettled = False
        self._settled = -math.inf  # when the disk was last waited for
        self._has_read = False  # what others may have written, since it was last settled
        self._failure: StoreUnreachableError | None = None
        file.touch()

    def sizes(self) -> tuple[int, int]:
        """Return how many bytes were read so far, and how many there are, unwritten ones too."""
        read, tail = self._known[1], self._tail  # another thread may end its work meanwhile
        return read, tail[0] + len(tail[1]) if tail else self._file.stat().st_size

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the entries behind the first *log_number_from*; a torn last line is none."""
        number, offset = self._known if self._known[0] <= log_number_from else (0, 0)
        for line in self._read(offset).splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            number, offset = number + 1, offset + len(line)
            self._known = (number, offset)
            if number > log_number_from:
                yield self._plain.pop(line, {}) or _decode(line.decode())

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        """Add entries: at once, or with all others when `exclusive` ends."""
        if self._tail is None:
            with self.exclusive():
                self.append_logs(logs)
            return
        for log in logs:
            line = _encode(log).encode() + b"\n"
            self._tail[1].extend(line)
            if all(type(value) in PLAIN for key, value in log.items() if key != OPERATION):
                self._plain[line] = log
            # What a trial measured half-way is not worth waiting for.
            self._is_unsettled |= "intermediate_value" not in log

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
            with undisturbed(), io.FileIO(self._file, "r+") as journal:
                self._tail = (_drop_torn_line(journal), bytearray())
                try:
                    yield
                finally:
                    lines, self._tail = bytes(self._tail[1]), None
                    self._plain.clear()
                    self._write(journal, lines)
        finally:
            self._lock.release()

    def settle(self) -> None:
        """Wait for the disk to hold what was read: nobody is to show what a power cut takes."""
        if self._has_read:
            self._has_read = False
            # A place that only lets us read may not let us wait either.
            with suppress(OSError), self._file.open("rb") as journal:
                os.fsync(journal.fileno())

    def _read(self, offset: int) -> bytes:
        tail = self._tail  # one look: another thread may end its work meanwhile
        size, behind = tail if tail else (self._file.stat().st_size, bytearray())
        if offset >= size:
            return bytes(behind[offset - size :])
        self._has_read = True
        with self._file.open("rb") as journal:
            journal.seek(offset)
            return journal.read(size - offset) + bytes(behind)

    def _write(self, journal: io.FileIO, lines: bytes) -> None:
        if not lines:
            return
        try:
            _write_all(journal, lines)
            if self._is_unsettled and time.monotonic() >= self._settled + SETTLE_SECONDS:
                os.fsync(journal.fileno())
                self._is_unsettled, self._settled = False, time.monotonic()
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
    size, rest = journal.seek(0, os.SEEK_END), memoryview(lines)
    try:
        while rest:
            rest = rest[journal.write(rest) :]
    except OSError:
        journal.truncate(size)
        raise


def _drop_torn_line(journal: io.FileIO) -> int:
    """Cut off a last line that was never written to its end: the next would be lost behind it.

    Returns:
        How many bytes the file holds then.
    """
    size = journal.seek(0, os.SEEK_END)
    if not size:
        return 0
    journal.seek(size - 1)
    if journal.read(1) != b"\n":
        journal.seek(0)
        size = journal.truncate(journal.readall().rfind(b"\n") + 1)
    return size
