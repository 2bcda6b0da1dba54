"""Worker processes beside this one: started, replaced when they die, ended by their ids."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from mlflow_ext.errors import SearchError
from mlflow_ext.tuning.crew import Crew, take_part

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from mlflow_ext.tuning.desk import Desk
    from mlflow_ext.tuning.trials import Objective

PATIENCE = 5.0  # seconds a process gets to end after it was asked to
THREADS = "OMP_NUM_THREADS"


def run_in_processes(desk: Desk, objective: Objective, workers: int) -> None:
    """Run the trials of *desk* in processes of their own.

    Args:
        desk: Gives out the trials.
        objective: Picklable.
        workers: How many processes.

    Raises:
        SearchError: The objective cannot be sent to a process, or does not load there.
        MlflowExtError: The objective raised one.
    """
    missing = desk.count_missing()
    staff = Staff(pack(objective))
    crew = Crew(desk, staff)
    try:
        with _sharing_cores(workers):
            for _ in range(min(workers, missing)):
                crew.add(staff.hire())
            if missing:
                crew.serve()
    finally:
        staff.dismiss()


def pack(objective: Objective) -> bytes:
    """Pickle *objective*, for a worker.

    Raises:
        SearchError: It cannot be pickled.
    """
    try:
        return pickle.dumps(objective)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SearchError(
            f"the objective cannot be sent to another process: {error}",
            "functions and classes that stand at the top of a module, and no lambda",
            "move them there, or search with workers: 1",
        ) from error


def unpack(packed: bytes) -> Objective:
    """Make again what `pack` has packed.

    Raises:
        SearchError: What it is made of cannot be imported here.
    """
    try:
        objective: Objective = pickle.loads(packed)
    except (ImportError, AttributeError) as error:
        raise SearchError(
            f"a worker cannot load the objective: {error}",
            "functions and classes that a fresh process can import",
            "move them to a module that is installed or stands beside the program",
        ) from error
    return objective


class Staff:
    """Worker processes.

    Args:
        packed: The objective, from `pack`.
    """

    bell: Connection | None = None  # nobody comes by themselves

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._processes: dict[Connection, SpawnProcess] = {}

    def enter(self) -> Connection:
        """Let one more in; who has no bell starts it himself."""
        return self.hire()

    def hire(self) -> Connection:
        """Start a process and return the connection to it."""
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_work, args=(theirs, self._packed))
        process.start()
        theirs.close()  # or its end would stay open when the process has died
        self._processes[ours] = process
        return ours

    def replace(self, lost: Connection, *, has_begun: bool) -> Connection:
        """Start a process in the place of one that has died.

        Raises:
            SearchError: It died before it ran any trial; the next one would, too.
        """
        process = self._processes.pop(lost)
        process.join()
        if not has_begun:
            raise SearchError(
                f"a worker process ended with exit code {process.exitcode} before its first trial",
                "a process that can import the program and load the rows",
                "put the call under `if __name__ == '__main__':`, or search with workers: 1",
            )
        return self.hire()

    def dismiss(self) -> None:
        """End every process that still runs."""
        for connection, process in self._processes.items():
            connection.close()
            process.terminate()
        for process in self._processes.values():
            process.join(PATIENCE)
            process.kill()
            process.join()


def _work(connection: Connection, packed: bytes) -> None:
    # Ctrl-C reaches the whole group; who keeps the study gives the trials back, then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    take_part(connection, lambda: unpack(packed))


def _end_with_parent() -> None:
    """A fit may take an hour, and nobody is left who would hear of it."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os._exit(1)


@contextmanager
def _sharing_cores(workers: int) -> Iterator[None]:
    """Keep processes from fighting for the cores: threads of one wait for those of another."""
    before = os.environ.get(THREADS)
    os.environ.setdefault(THREADS, str(max(1, (os.cpu_count() or 1) // workers)))
    try:
        yield
    finally:
        os.environ.pop(THREADS)
        if before is not None:
            os.environ[THREADS] = before
