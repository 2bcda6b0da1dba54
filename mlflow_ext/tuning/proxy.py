"""A study behind a gRPC proxy of Optuna, where machines see no database and share no lock.

The proxy knows studies and trials, so the lock is made of them: whoever wants in draws a ticket, a
running trial of a study beside the one that is worked on, and the oldest ticket still running has
the lock. Trials are numbered in order and what has ended stays so: no two can hold it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, GrpcStorageProxy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from mlflow_ext.errors import SearchError, StoreUnreachableError
from mlflow_ext.process import current_process, is_alive
from mlflow_ext.tuning import heartbeat
from mlflow_ext.tuning.attributes import ALIVE, OWNER, TICKETS
from mlflow_ext.tuning.reentrant import Reentrant

POLL_SECONDS = 0.02
WAIT_SECONDS = 5.0  # for a proxy to answer at all
PORT = 13000  # where Optuna's proxy listens unless told


class ProxyStore:
    """A proxy to a database, for machines that do not reach the database itself.

    Args:
        url: ``grpc://HOST:PORT``; the port is `PORT` unless told.
        name: Name of the study.
    """

    def __init__(self, url: str, name: str) -> None:
        self.where, self._name = url, name

    @cached_property
    def storage(self) -> GrpcStorageProxy:
        """The proxy as Optuna sees it."""
        return open_proxy(self.where)

    def exclusive(self) -> AbstractContextManager[None]:
        """Let one process at a time work on the study, on whatever machine it runs."""
        return self._turn.held()

    @cached_property
    def _turn(self) -> Reentrant:
        return Reentrant(TicketQueue(self.storage, self._name).turn)


class TicketQueue:
    """One process at a time, first come first served, by what every storage of Optuna can do.

    Args:
        storage: Where the tickets are kept.
        name: What the turns are for.
    """

    def __init__(self, storage: BaseStorage, name: str) -> None:
        self._storage = storage
        try:
            self._id = storage.create_new_study([StudyDirection.MINIMIZE], TICKETS + name)
        except DuplicatedStudyError:
            self._id = storage.get_study_id_from_name(TICKETS + name)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until it is this caller's turn, which lasts until the block ends.

        Raises:
            SearchError: This process was silent for so long that another took it for dead.
        """
        drawn = create_trial(state=TrialState.RUNNING, user_attrs={OWNER: current_process()})
        ticket = self._storage.create_new_trial(self._id, drawn)
        try:
            with heartbeat.repeating(lambda: self._show_life(ticket)):
                self._wait_for(ticket)
                yield
        finally:
            self._give_back(ticket)

    def _wait_for(self, mine: int) -> None:
        since: dict[tuple[int, float | None], float] = {}
        while (first := self._find_first(mine))._trial_id != mine:
            sign = (first._trial_id, first.user_attrs.get(ALIVE))
            # Clocks of two machines differ: what counts is how long the sign has stayed the same.
            silent = time.monotonic() - since.setdefault(sign, time.monotonic())
            if is_alive(first.user_attrs[OWNER]) is False or silent > heartbeat.GRACE_SECONDS:
                with suppress(UpdateFinishedTrialError):  # somebody else was quicker
                    self._end(first._trial_id)
            else:
                time.sleep(POLL_SECONDS)

    def _find_first(self, mine: int) -> FrozenTrial:
        running = (TrialState.RUNNING,)
        tickets = self._storage.get_all_trials(self._id, deepcopy=False, states=running)
        first = min(tickets, key=lambda ticket: ticket._trial_id, default=None)
        if first is None or first._trial_id > mine:
            raise _taken_for_dead()
        return first

    def _show_life(self, ticket: int) -> None:
        self._storage.set_trial_user_attr(ticket, ALIVE, time.time())

    def _give_back(self, ticket: int) -> None:
        try:
            self._end(ticket)
        except UpdateFinishedTrialError as error:
            raise _taken_for_dead() from error

    def _end(self, ticket: int) -> None:
        self._storage.set_trial_state_values(ticket, TrialState.COMPLETE, [0.0])


def _taken_for_dead() -> SearchError:
    found = f"this process was silent for {heartbeat.GRACE_SECONDS:.0f} s, and another went on"
    fix = "run the command again: the study goes on"
    return SearchError(found, "a machine that neither sleeps nor loses its network", fix)


def is_proxy(url: str) -> bool:
    """Say whether *url* is the address of a proxy.

    >>> is_proxy("grpc://host:13000"), is_proxy("sqlite:///study.db")
    (True, False)
    """
    return url.startswith("grpc:")


def open_proxy(url: str) -> GrpcStorageProxy:
    """Connect to a proxy.

    Raises:
        SearchError: The address is none, or what speaks to a proxy is not installed.
        StoreUnreachableError: It does not answer.
    """
    if find_spec("grpc") is None:
        found, fix = f"grpcio is not installed; {url} needs it", "pip install 'mlflow-ext[grpc]'"
        raise SearchError(found, "what speaks to a gRPC proxy", fix)
    proxy = GrpcStorageProxy(**_read_address(url))
    try:
        proxy.wait_server_ready(WAIT_SECONDS)
    except ConnectionError as error:
        fix = "start it with optuna.storages.run_grpc_proxy_server, or correct its address"
        raise StoreUnreachableError("study proxy", url, str(error), fix) from error
    return proxy


def _read_address(url: str) -> dict[str, Any]:
    """Return host and port.

    >>> _read_address("grpc://studies")
    {'host': 'studies', 'port': 13000}
    """
    parts = urlsplit(url)
    with suppress(ValueError):  # the port is no number
        if parts.scheme == "grpc" and parts.hostname and not parts.path.strip("/"):
            return {"host": parts.hostname, "port": parts.port or PORT}
    found = f"{url} is no address of a gRPC proxy"
    raise SearchError(found, "grpc://HOST:PORT", "correct 'storage' or --studies")
