"""The courier: takes deliveries from the outbox and brings them to their webhooks.

Requests carry the headers of MLflow's webhooks, signed with MLflow's own function, over connections
that MLflow's own adapter checks once they stand: a name that led to a public address when it was
looked up and to a private one when it was called is not written to. Unlike MLflow's, a delivery
keeps its id over all attempts, follows no redirect, and outlives the process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from mlflow_ext.errors import WebhookError
from mlflow_ext.registry.gated.outbox import Taken, settle_delivered, settle_failed, take
from mlflow_ext.registry.gated.webhooks import Target, check_url, find_target

POLL_S = 1.0
RECOVER_S = 10.0  # how long a database that does not answer is left alone
STOP_S = 5.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a failed delivery is tried again. As it stands: 16 attempts within a day."""

    attempts: int = 16
    """How often a delivery is tried before it is given up."""
    first_ms: int = 5_000
    """The wait after the first failure; it doubles with each further one."""
    longest_ms: int = 6 * 3_600_000

    def due_after(self, attempts: int, now_ms: int) -> int | None:
        """Return when to try again after this many attempts, None for never.

        >>> [Schedule().due_after(n, now_ms=0) for n in (1, 2, 14, 16)]
        [5000, 10000, 21600000, None]
        """
        if attempts >= self.attempts:
            return None
        return now_ms + min(self.first_ms << (attempts - 1), self.longest_ms)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one attempt went."""

    answer: str
    is_delivered: bool = False
    is_hopeless: bool = False


def read_clock() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Courier:
    """Delivers in the background of one process; others may do the same on the same database.

    Args:
        engine: The registry's database.
        schedule: When failed deliveries are tried again.
        clock: Returns the time in milliseconds since the epoch.
    """

    def __init__(
        self,
        engine: sa.Engine,
        schedule: Schedule | None = None,
        clock: Callable[[], int] = read_clock,
    ) -> None:
        from mlflow.environment_variables import (
            MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS,
            MLFLOW_WEBHOOK_REQUEST_TIMEOUT,
        )

        self.engine = engine
        self.schedule = schedule or Schedule()
        self.clock = clock
        self.timeout_s: int = MLFLOW_WEBHOOK_REQUEST_TIMEOUT.get()  # type: ignore[no-untyped-call]
        self._workers: int = MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS.get()  # type: ignore[no-untyped-call]
        self._idle = threading.BoundedSemaphore(self._workers)
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="courier", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. The threads do not keep the process alive."""
        self._watcher.start()

    def stop(self) -> None:
        """Take nothing more, and leave what is under way some seconds to end."""
        self._stopping.set()
        self._watcher.join(STOP_S)
        for _ in range(self._workers):
            self._idle.acquire(timeout=STOP_S / self._workers)

    def deliver_due(self) -> int:
        """Make every delivery that is due, one after the other; returns how many were tried."""
        count = 0
        while taken := self._take():
            self._deliver(taken)
            count += 1
        return count

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._idle.acquire()
            taken, pause = self._look()
            if taken:
                threading.Thread(target=self._bring, args=(taken,), daemon=True).start()
            else:
                self._idle.release()
                self._stopping.wait(pause)

    def _look(self) -> tuple[Taken | None, float]:
        try:
            return self._take(), POLL_S
        except SQLAlchemyError as error:
            _logger.warning("the outbox cannot be read: %s", error)
            return None, RECOVER_S

    def _bring(self, taken: Taken) -> None:
        try:
            self._deliver(taken)
        except SQLAlchemyError as error:
            _logger.warning("delivery %s: its outcome cannot be written: %s", taken.id, error)
        finally:
            self._idle.release()

    def _take(self) -> Taken | None:
        # A lease outlasts looking the name up, connecting, sending and waiting, each in its time.
        return take(self.engine, self.clock(), lease_ms=4_000 * self.timeout_s)

    def _deliver(self, taken: Taken) -> None:
        outcome, now_ms = self._attempt(taken), self.clock()
        if outcome.is_delivered:
            settle_delivered(self.engine, taken, outcome.answer, now_ms)
        else:
            again = self.schedule.due_after(taken.attempts, now_ms)
            due_ms = None if outcome.is_hopeless else again
            settle_failed(self.engine, taken, outcome.answer, due_ms)

    def _attempt(self, taken: Taken) -> Outcome:
        if taken.attempts > self.schedule.attempts:
            return Outcome(answer="nobody lived to tell of the last attempt", is_hopeless=True)
        try:
            with self.engine.connect() as connection:
                target = find_target(connection, taken.webhook)
            if target is None:
                return Outcome(answer="the webhook was deleted", is_hopeless=True)
            return post(taken, target, self.timeout_s)
        except WebhookError as error:
            return Outcome(answer=error.found)


def post(taken: Taken, target: Target, timeout_s: int) -> Outcome:
    """Send one request; only an answer of 2xx counts as delivered.

    Raises:
        WebhookError: The address is not allowed (any more).
    """
    import requests
    from mlflow.webhooks.ssrf import SSRFProtectedHTTPAdapter, SSRFProtectionError

    check_url(target.url)
    with requests.Session() as http:
        http.trust_env = False  # behind a proxy the address that is checked would be the proxy's
        for scheme in ("http://", "https://"):
            http.mount(scheme, SSRFProtectedHTTPAdapter())
        try:
            with http.post(
                target.url,
                data=taken.payload.encode(),
                headers=sign(taken, target),
                timeout=timeout_s,
                allow_redirects=False,
                stream=True,  # nobody reads the body, however long it is
            ) as response:
                answer = f"{response.status_code} {response.reason}"
                return Outcome(answer=answer, is_delivered=response.status_code // 100 == 2)
        except (requests.RequestException, SSRFProtectionError) as error:
            return Outcome(answer=f"{type(error).__name__}: {error}")


def sign(taken: Taken, target: Target) -> dict[str, str]:
    """Return the headers of a request: id, time, and the signature if there is a secret."""
    from mlflow.webhooks import constants
    from mlflow.webhooks.delivery import _generate_hmac_signature

    now = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        constants.WEBHOOK_DELIVERY_ID_HEADER: taken.id,
        constants.WEBHOOK_TIMESTAMP_HEADER: now,
    }
    if target.secret:
        signature = _generate_hmac_signature(target.secret, taken.id, now, taken.payload)
        headers[constants.WEBHOOK_SIGNATURE_HEADER] = signature
    return headers
