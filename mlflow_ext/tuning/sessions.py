"""Who works on a study, under which MLflow run; and the runs that nobody is left to end.

Each call of `mlflow_ext.tuning.tune` is a session. The study itself remembers it: a killed process
ends no run, and neither does one whose tracking server is away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlflow_ext.process import current_process, is_alive
from mlflow_ext.tuning.attributes import OWN, RUN, SESSION
from mlflow_ext.tuning.heartbeat import beating, has_died, shows_life

if TYPE_CHECKING:
    import optuna
    from mlflow import MlflowClient

ENDED = OWN + "ended"
"""Tag of a run that another process has ended: why."""
Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, kw_only=True)
class Session:
    """One call that worked on a study, or still does."""

    run_id: str
    process: str
    """As `mlflow_ext.process.current_process` names it."""
    is_over: bool = False
    owed: Literal["FINISHED", "FAILED"] | None = None
    """How the run ended, where the tracking store could not be told."""


@contextmanager
def working(study: optuna.Study, run_id: str, *, is_shared: bool) -> Iterator[None]:
    """Remember in *study* that this process works on it under a run, until the block ends.

    Args:
        study: A handle that may write.
        run_id: The MLflow run under which the study goes on.
        is_shared: Whether processes of other machines look for signs of life there.
    """
    study.set_user_attr(RUN, run_id)
    _keep(study, Session(run_id=run_id, process=current_process()))
    try:
        with beating(study) if is_shared else nullcontext():
            yield
    finally:
        end_session(study, run_id)


def end_session(study: optuna.Study, run_id: str) -> None:
    """Remember in *study* that nobody runs its trials under a run any more; again is no harm."""
    session = next((one for one in _list_sessions(study) if one.run_id == run_id), None)
    if session and not session.is_over:
        _keep(study, replace(session, is_over=True))


def owe_end(study: optuna.Study, run_id: str, status: Literal["FINISHED", "FAILED"]) -> None:
    """Remember in *study* how a run has ended that the tracking store could not be told of."""
    process = current_process()
    _keep(study, Session(run_id=run_id, process=process, is_over=True, owed=status))


def list_others(study: optuna.Study) -> list[Session]:
    """List the sessions in which other processes, here or elsewhere, work on *study* now."""
    mine = current_process()
    return [
        session
        for session in _list_sessions(study)
        if not session.is_over and session.process != mine and shows_life(study, session.process)
    ]


def end_dead_runs(client: MlflowClient, study: optuna.Study) -> list[str]:
    """End the runs of *study* that are RUNNING although nobody works under them any more.

    Args:
        client: Speaks to the tracking store.
        study: The study; nothing is written into it.

    Returns:
        Ids of the runs that were ended: as KILLED, or as what the store could not be told when they
        were over. Runs of processes that may live are left alone.

    Raises:
        mlflow.exceptions.MlflowException: The store does not answer, or refuses.
    """
    left = [session for session in _list_sessions(study) if _is_left(study, session)]
    dead = [session for session in left if _is_running(client, session.run_id)]
    for session in dead:
        why = "the store did not answer when it was over" if session.owed else "its process died"
        client.set_tag(session.run_id, ENDED, f"by another process: {why}")
        end_run(client, session.run_id, session.owed or "KILLED")
    return [session.run_id for session in dead]


def settle_dead(client: MlflowClient, study: optuna.Study) -> None:
    """Do what `end_dead_runs` does, and remember in *study* that it is done.

    A store that does not answer is asked by the next session.
    """
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        end_dead_runs(client, study)
        for session in _list_sessions(study):
            if _is_left(study, session):
                study.set_user_attr(SESSION + session.run_id, None)


def end_run(client: MlflowClient, run_id: str, status: Status) -> None:
    """End a run without the two lines that MLflow's client prints about it."""
    from mlflow.entities import RunStatus
    from mlflow.tracking._tracking_service.utils import _get_store

    store = _get_store(client.tracking_uri)  # type: ignore[no-untyped-call]
    store.update_run_info(run_id, RunStatus.from_string(status), time.time_ns() // 1_000_000, None)


def _keep(study: optuna.Study, session: Session) -> None:
    values = {key: value for key, value in asdict(session).items() if key != "run_id"}
    study.set_user_attr(SESSION + session.run_id, values)


def _list_sessions(study: optuna.Study) -> list[Session]:
    found = study.user_attrs.items()
    kept = {key.removeprefix(SESSION): v for key, v in found if key.startswith(SESSION) and v}
    return [Session(run_id=run_id, **values) for run_id, values in kept.items()]


def _is_left(study: optuna.Study, session: Session) -> bool:
    """Say whether nobody is there any more to end the run of *session*."""
    if session.is_over:  # a process elsewhere is silent from then on, and may have other work there
        return session.owed is not None or is_alive(session.process) is False
    return has_died(study, session.process)


def _is_running(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # in another store, or deleted for good
            raise
        return False
    return bool(info.status == "RUNNING" and info.lifecycle_stage == "active")
