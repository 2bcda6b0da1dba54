"""The quickest way to write finished runs to a tracking store: whole batches where it takes them.

Batches go to a database that this process opens itself, and to servers that have our route. Others
get the fewest calls that a run takes, from several connections.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any, Protocol

from mlflow_ext.errors import BulkError, StoreUnreachableError
from mlflow_ext.tracking.address import hide_password
from mlflow_ext.tracking.route import PATH
from mlflow_ext.tracking.runs import RunContent, batches, shown_values

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

CONNECTIONS = 4  # as many as `mlflow server` has workers; each answers one call at a time
ASK_SECONDS = 10
WRITE_SECONDS = 120
# MLflow's limits for one call.
PARAMS_PER_CALL = 100
TAGS_PER_CALL = 100
METRICS_PER_CALL = 800
# What servers answer that do not know the path, and ours when its runs are not in a database.
NOT_OURS = (403, 404, 405, 501)


class Writer(Protocol):
    """Brings runs to a tracking store."""

    is_idempotent: bool
    """Whether what is written twice, even at the same time, is one run."""

    def write(
        self, experiment_id: str, runs: Sequence[RunContent], there: Mapping[str, bool]
    ) -> None:
        """Write *runs*; to those that are there, add what is said of them.

        Nothing that anybody has logged is taken away. Where another value of a metric stands last,
        the one that is said is logged once more, after it.

        Args:
            experiment_id: Where they belong.
            runs: Any number. A store that chooses identities itself gives new ones to new runs.
            there: Run id -> whether to end it as is said, of those that are in the store already.

        Raises:
            BulkError: A run cannot be written; others may be.
            mlflow.exceptions.MlflowException: The store does not answer, or refuses.
        """
        ...


def open_writer(client: MlflowClient) -> Writer:
    """Find the quickest way to the tracking store of *client*.

    Raises:
        StoreUnreachableError: Its server does not answer, or lets nobody in.
        mlflow.exceptions.MlflowException: Its server cannot be reached.
    """
    from mlflow.store.tracking.rest_store import RestStore
    from mlflow.tracking._tracking_service.utils import _get_store

    store = _get_store(client.tracking_uri)  # type: ignore[no-untyped-call]
    if isinstance(store, RestStore):
        return ServerWriter(store) if _takes_batches(store) else CallsWriter(store)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return DatabaseWriter(store) if isinstance(store, SqlAlchemyStore) else CallsWriter(store)


@dataclass(frozen=True)
class DatabaseWriter:
    """Writes to a database that this process has opened."""

    store: Any
    is_idempotent = True

    def write(
        self, experiment_id: str, runs: Sequence[RunContent], there: Mapping[str, bool]
    ) -> None:
        """As `Writer.write`; whoever sees a new run sees all of it."""
        from mlflow_ext.tracking.bulk import write_bulk

        send = partial(write_bulk, self.store, experiment_id)
        _write_both(CallsWriter(self.store), experiment_id, runs, there, send)


@dataclass(frozen=True)
class ServerWriter:
    """Writes through the route of our server."""

    store: Any
    is_idempotent = True

    def write(
        self, experiment_id: str, runs: Sequence[RunContent], there: Mapping[str, bool]
    ) -> None:
        """As `Writer.write`; a server that is away is not waited for."""
        from pydantic_core import to_jsonable_python

        def send(batch: Sequence[RunContent]) -> None:
            body = {"experiment_id": experiment_id, "runs": to_jsonable_python(batch)}
            answer = _request(self.store, "POST", WRITE_SECONDS, json=body)
            if answer.status_code == 400:
                raise BulkError(None, f"the server refuses a batch: {_words(answer)}")
            if answer.status_code != 200:
                raise _unusable(answer)

        _write_both(CallsWriter(self.store), experiment_id, runs, there, send)


@dataclass(frozen=True)
class CallsWriter:
    """Writes to any other store, with the fewest calls and from several connections."""

    store: Any
    is_idempotent = False

    def write(
        self, experiment_id: str, runs: Sequence[RunContent], there: Mapping[str, bool]
    ) -> None:
        """As `Writer.write`; one run that fails keeps no other from being written."""
        from mlflow.exceptions import MlflowException

        def write_one(run: RunContent) -> None:
            is_there = run.run_id in there
            if not is_there:
                run = replace(run, run_id=self._begin(experiment_id, run))
            try:
                self._log(run, _tags(run) if is_there else ())
                if is_there:
                    self._say_last(run)
                if there.get(run.run_id, True):
                    self._end(run)
            except MlflowException as error:
                if not self._was_deleted(run.run_id, error):  # somebody took it for a double
                    raise

        failures = _each(write_one, runs)
        if failures:
            raise failures[0]

    def _begin(self, experiment_id: str, run: RunContent) -> str:
        made = self.store.create_run(
            experiment_id=experiment_id,
            user_id=run.tags.get("mlflow.user", "unknown"),
            start_time=run.start_ms,
            tags=_tags(run),
            run_name=run.name,
        )
        return str(made.info.run_id)

    def _log(self, run: RunContent, tags: Sequence[Any] = ()) -> None:
        """Log in one call, unless that is more than MLflow takes."""
        from mlflow.entities import Metric, Param

        params = [Param(*item) for item in run.params.items()]
        metrics, tags = [Metric(*point) for point in run.metrics], list(tags)
        while params or metrics or tags:
            self.store.log_batch(
                run.run_id,
                metrics=metrics[:METRICS_PER_CALL],
                params=params[:PARAMS_PER_CALL],
                tags=tags[:TAGS_PER_CALL],
            )
            del metrics[:METRICS_PER_CALL], params[:PARAMS_PER_CALL], tags[:TAGS_PER_CALL]

    def _say_last(self, run: RunContent) -> None:
        """Let MLflow show the values that are said, after whatever others have logged."""
        from mlflow.entities import Metric

        for key, value in shown_values(run.metrics).items():
            points = self.store.get_metric_history(run.run_id, key)
            last = max(points, key=lambda point: (point.step, point.timestamp, point.value))
            if math.isfinite(value) and last.value != value:  # MLflow keeps no other as it is
                again = Metric(key, value, last.timestamp + 1, last.step)
                self.store.log_batch(run.run_id, metrics=[again], params=[], tags=[])

    def _end(self, run: RunContent) -> None:
        from mlflow.entities import RunStatus

        status = RunStatus.from_string(run.status)
        self.store.update_run_info(run.run_id, status, run.end_ms, None)

    def _was_deleted(self, run_id: str, refusal: MlflowException) -> bool:
        if refusal.error_code != "INVALID_PARAMETER_VALUE":  # nor is a dead server asked again
            return False
        return bool(self.store.get_run(run_id).info.lifecycle_stage == "deleted")


def _write_both(
    calls: CallsWriter,
    experiment_id: str,
    runs: Sequence[RunContent],
    there: Mapping[str, bool],
    send: Callable[[Sequence[RunContent]], object],
) -> None:
    """Complete by calls the runs that are there and lack more than tags; send others in batches.

    What fails in one way keeps nothing from being written in the other.
    """
    whole: list[RunContent] = []
    lacking: list[RunContent] = []
    for run in runs:
        ends = there.get(run.run_id)
        is_lacking = ends is not None and bool(ends or run.params or run.metrics)
        (lacking if is_lacking else whole).append(run)
    try:
        calls.write(experiment_id, lacking, there)
    finally:
        _send_all(whole, send)


def _send_all(runs: Sequence[RunContent], send: Callable[[Sequence[RunContent]], object]) -> None:
    """Send *runs* in batches; one that is refused keeps no other from being written."""
    waiting = [*batches(runs)]
    failures = []
    while waiting:
        batch = waiting.pop()
        try:
            send(batch)
        except BulkError as error:
            half = len(batch) // 2
            waiting.extend([batch[:half], batch[half:]] if half else [])
            failures.append(error)
    if failures:
        raise failures[-1]


def _tags(run: RunContent) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(*item) for item in run.tags.items()]


def _each(job: Callable[[RunContent], None], runs: Sequence[RunContent]) -> list[Exception]:
    """Do *job* for each run, several at a time; return what went wrong.

    The threads are daemons: a server that has stopped to answer keeps no process from ending.
    """
    if not runs:
        return []
    context = contextvars.copy_context()  # holds MLflow's workspace

    def attempt(run: RunContent) -> Exception | None:
        try:
            context.copy().run(job, run)
        except Exception as error:
            return error
        return None

    with ThreadPool(CONNECTIONS) as pool:
        return [error for error in pool.map(attempt, runs) if error]


def _takes_batches(store: Any) -> bool:
    """Ask a server whether it has our route."""
    answer = _request(store, "GET", ASK_SECONDS)
    if answer.status_code in NOT_OURS:
        return False
    if answer.status_code != 200:
        raise _unusable(answer)
    return "json" in answer.headers.get("Content-Type", "") and "max_runs" in answer.json()


def _request(store: Any, method: str, seconds: float, **more: Any) -> Any:
    """Send one request to the route, with MLflow's credentials but without its patience."""
    from mlflow.utils.rest_utils import http_request

    return http_request(  # type: ignore[no-untyped-call]
        store.get_host_creds(),
        PATH,
        method,
        max_retries=0,
        timeout=seconds,
        raise_on_status=False,
        **more,
    )


def _unusable(answer: Any) -> StoreUnreachableError:
    cause = f"HTTP {answer.status_code}: {_words(answer)}"
    uri = hide_password(answer.url)
    return StoreUnreachableError("MLflow store", uri, cause, "mlflow-ext doctor")


def _words(answer: Any) -> str:
    try:
        text = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        text = answer.reason
    return str(text).splitlines()[0] if text else ""
