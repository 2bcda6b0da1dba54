"""The trials of a study on the executors of a Spark cluster.

The driver keeps the study and hands out the trials; each task of one job connects to it and works
until there are no more. Spark starts a task again that was lost; its trial is repeated by whoever
asks next.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Iterable
from multiprocessing.connection import Client, Connection, Listener, Pipe
from typing import TYPE_CHECKING

from mlflow_ext.errors import MlflowExtError, SearchError
from mlflow_ext.tuning.crew import Crew, take_part
from mlflow_ext.tuning.workers import unpack

if TYPE_CHECKING:
    from pyspark import SparkContext

    from mlflow_ext.tuning.desk import Desk
    from mlflow_ext.tuning.trials import Objective

JOB = "mlflow_ext tuning"


def run_on_spark(desk: Desk, objective: Objective, slots: int) -> None:
    """Run the trials of *desk* as one Spark job, in the active session or in a new one.

    Args:
        desk: Gives out the trials.
        objective: Goes to each executor once; what stands in a notebook goes along, modules of the
            project must be there, or be sent by ``SparkContext.addPyFile``.
        slots: How many tasks work side by side.

    Raises:
        SearchError: There is no Spark, or an executor cannot load the objective.
        MlflowExtError: The job failed, or the objective raised one.
    """
    if not desk.count_missing():
        return
    context = _open_context()
    door = SparkDoor(context, _pack(objective), slots)
    try:
        Crew(desk, door).serve()
    finally:
        door.close()


class SparkDoor:
    """Where the tasks of a Spark job come in.

    Args:
        context: Runs the job.
        packed: The objective.
        slots: How many tasks.
    """

    def __init__(self, context: SparkContext, packed: bytes, slots: int) -> None:
        self.bell, self._rope = Pipe(duplex=False)
        self._context, self._key = context, os.urandom(32)
        host = context.getConf().get("spark.driver.host") or socket.gethostname()
        self._listener = Listener((host, 0), backlog=slots, authkey=self._key)
        self._arrived: deque[Connection] = deque()
        self._failure = "it ended"
        self._packed = context.broadcast(packed)
        threading.Thread(target=self._let_in, daemon=True).start()
        self._job = threading.Thread(target=self._run_job, args=(slots,), daemon=True)
        self._job.start()

    def enter(self) -> Connection:
        """Return the connection of a task that has come.

        Raises:
            MlflowExtError: The job has ended instead.
        """
        if self.bell.recv_bytes() == b"task":
            return self._arrived.popleft()
        raise MlflowExtError(
            f"the Spark job has ended before the study had all its trials: {self._failure}",
            "tasks that run until there are no more trials",
            "read the log of Spark, then run the study again: it goes on",
        )

    def replace(self, lost: Connection, *, has_begun: bool) -> None:
        """Leave it to Spark to start a lost task again."""

    def close(self) -> None:
        """Let nobody in any more, and end the job if it still runs."""
        self._listener.close()
        self._context.cancelJobGroup(JOB)
        self._job.join()
        self._packed.destroy()

    def _let_in(self) -> None:
        while True:
            try:
                self._arrived.append(self._listener.accept())
            except OSError:  # closed
                return
            self._rope.send_bytes(b"task")

    def _run_job(self, slots: int) -> None:
        address, key, packed = self._listener.address, self._key, self._packed

        def work(_: Iterable[int]) -> Iterable[int]:
            take_part(Client(address, authkey=key), lambda: unpack(packed.value))
            return ()

        try:
            self._context.setJobGroup(JOB, "trials of a study", interruptOnCancel=True)
            self._context.parallelize(range(slots), slots).mapPartitions(work).count()
        except Exception as error:  # Spark has one for each way of failing
            self._failure = str(error)
        self._rope.send_bytes(b"end")


def _pack(objective: Objective) -> bytes:
    from pyspark import cloudpickle

    packed: bytes = cloudpickle.dumps(objective)  # type: ignore[no-untyped-call]
    return packed


def _open_context() -> SparkContext:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SearchError(
            "search.engine is 'spark', and Spark is not installed",
            "the package 'pyspark'",
            "pip install 'mlflow-ext[spark]', or search with engine: processes",
        ) from error
    return SparkSession.builder.appName(JOB).getOrCreate().sparkContext
