"""Several workers take part in one study; the process that keeps it hands out the trials.

A worker holds a connection and nothing else: it asks for a trial, says what it measured half-way,
says how the trial ended. So nobody waits for the lock of a file, a sampler knows of every trial as
soon as it has ended, and a worker that dies is missed at once: its connection ends. What several
workers say at the same moment is written to the study as one piece.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from mlflow_ext import errors
from mlflow_ext.errors import MlflowExtError

if TYPE_CHECKING:
    from mlflow_ext.tuning.desk import Desk
    from mlflow_ext.tuning.trials import Objective, Reports

Message = dict[str, Any]


class Door(Protocol):
    """Where workers come from."""

    @property
    def bell(self) -> Connection | None:
        """Says, by having something to read, that `enter` has news."""

    def enter(self) -> Connection:
        """Return the connection of a worker that has come by itself."""

    def replace(self, lost: Connection, *, has_begun: bool) -> Connection | None:
        """Return a worker in the place of one that was lost, or None when that is not needed."""


class Crew:
    """The workers of a study, as seen by the process that keeps it.

    Args:
        desk: Gives out the trials.
        door: Brings workers.
    """

    def __init__(self, desk: Desk, door: Door) -> None:
        self._desk, self._door = desk, door
        self._trials: dict[Connection, int | None] = {}
        self._idle: list[Connection] = []
        self._begun: set[Connection] = set()
        self._replies: list[tuple[Connection, Any]] = []

    def add(self, connection: Connection) -> None:
        """Let one more worker take part."""
        self._trials[connection] = None

    def serve(self) -> None:
        """Hand out trials until there are enough and the last one has ended.

        Raises:
            MlflowExtError: A worker cannot run any trial, or no more workers come.
        """
        try:
            while not self._has_finished():
                self._wait()
        finally:
            self._desk.abandon()
            for connection in self._trials:
                connection.close()

    def _has_finished(self) -> bool:
        """Whether somebody waits for a trial that nobody can give or give back any more."""
        return bool(self._idle) and all(number is None for number in self._trials.values())

    def _wait(self) -> None:
        bell = [self._door.bell] if self._door.bell else []
        ready = wait([*self._trials, *bell])
        with self._desk.exclusive():
            for connection in self._trials.keys() & set(ready):
                self._hear(connection)
            self._employ()
        # Only now is it written down: a crash would have to find what was promised.
        for connection, reply in self._replies:
            self._say(connection, reply)
        self._replies.clear()
        if self._door.bell in ready:
            self.add(self._door.enter())

    def _hear(self, connection: Connection) -> None:
        try:
            message: Message = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            self._lose(connection)
            return
        if "error" in message:
            raise read_error(message["error"])
        if "judge" in message:
            number, reports = self._trials[connection], message["judge"]
            assert number is not None
            self._replies.append((connection, self._desk.judge(number, _steps(reports))))
        else:
            self._take_back(connection, message["outcome"])
            self._idle.append(connection)

    def _take_back(self, connection: Connection, outcome: Message | None) -> None:
        from mlflow_ext.tuning.trials import Outcome

        self._trials[connection] = None
        if outcome:
            reports = _steps(outcome["reports"])
            self._desk.tell(Outcome(**{**outcome, "reports": reports}))

    def _employ(self) -> None:
        while self._idle:
            claim = self._desk.claim()
            if claim is None:
                return
            connection = self._idle.pop(0)
            self._trials[connection] = claim.number
            self._begun.add(connection)
            self._replies.append((connection, asdict(claim)))

    def _lose(self, connection: Connection) -> None:
        number = self._trials.pop(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.close()
        if number is not None:
            self._desk.repeat([number], blame=1)
        newcomer = self._door.replace(connection, has_begun=connection in self._begun)
        if newcomer:
            self.add(newcomer)

    def _say(self, connection: Connection, reply: Any) -> None:
        try:
            connection.send_bytes(json.dumps(reply).encode())
        except OSError:  # it has died meanwhile: the next look at its connection finds that out
            return


def take_part(connection: Connection, load: Callable[[], Objective]) -> None:
    """Run trials, as a worker, until there are no more.

    Args:
        connection: Leads to the process that keeps the study.
        load: Makes the objective.
    """
    try:
        _run_trials(connection, load)
    except MlflowExtError as error:
        _tell_error(connection, error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # who keeps the study has ended, or needs no more
    finally:
        connection.close()


def _run_trials(connection: Connection, load: Callable[[], Objective]) -> None:
    from mlflow_ext.tuning.trials import Claim, run_trial

    def judge(number: int, reports: Reports) -> bool:
        return bool(_exchange(connection, {"judge": reports}))

    objective, outcome = load(), None
    while True:  # until who keeps the study closes the connection
        claim = Claim(**_exchange(connection, {"outcome": outcome}))
        outcome = asdict(run_trial(objective, claim, judge))


def _exchange(connection: Connection, message: Message) -> Any:
    connection.send_bytes(json.dumps(message).encode())
    return json.loads(connection.recv_bytes())


def _tell_error(connection: Connection, error: MlflowExtError) -> None:
    told = {"kind": type(error).__name__, "parts": [error.found, error.expected, error.fix]}
    connection.send_bytes(json.dumps({"error": told}).encode())


def read_error(told: Message) -> MlflowExtError:
    """Make again an error that a worker has told of."""
    kind = getattr(errors, told["kind"], MlflowExtError)
    error: MlflowExtError = kind.__new__(kind)
    MlflowExtError.__init__(error, *told["parts"])  # a subclass builds these from its own fields
    return error


def _steps(reports: dict[str, float]) -> dict[int, float]:
    return {int(step): value for step, value in reports.items()}
