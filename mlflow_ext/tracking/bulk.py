"""Many finished runs in one transaction of MLflow's own store.

Either all runs of a call are written or none; the same call again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import BulkError
from mlflow_ext.tracking.rows import RUN_NAME, Row, RunRows, rows_of
from mlflow_ext.tracking.runs import MAX_RUNS, RunContent

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

ATTEMPTS = 3
LOGGED = {"SqlParam": "params", "SqlMetric": "metrics", "SqlLatestMetric": "latest_metrics"}
"""MLflow's table -> our rows in it, for what a run gets when it is made, and then no more."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of the runs of one call."""

    made: int
    kept: int
    """Runs that were there; only their tags may have changed."""


def write_bulk(store: Any, experiment_id: str, runs: Sequence[RunContent]) -> Receipt:
    """Write finished runs, or give those that are there the tags that are said of them.

    A run that is there keeps all that was logged, and goes on if it has not ended; one that was
    deleted is back.

    Args:
        store: MLflow's `SqlAlchemyStore`.
        experiment_id: Where they belong; the experiment must be active.
        runs: At most `MAX_RUNS`.

    Raises:
        BulkError: One of the runs cannot be written; none was.
        mlflow.exceptions.MlflowException: No such active experiment, or the database fails.
    """
    if len(runs) > MAX_RUNS:
        raise BulkError(None, f"{len(runs)} runs in one call", f"at most {MAX_RUNS}")
    experiment = _get_experiment(store, experiment_id)
    return _write(store, int(experiment.experiment_id), _check(store, experiment, runs), ATTEMPTS)


def _get_experiment(store: Any, experiment_id: str) -> Any:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

    experiment = store.get_experiment(experiment_id)
    if experiment.lifecycle_stage != "active":
        text = f"Experiment {experiment_id} is deleted"
        raise MlflowException(text, RESOURCE_DOES_NOT_EXIST)
    return experiment


def _check(store: Any, experiment: Any, runs: Sequence[RunContent]) -> dict[str, RunRows]:
    """Return the rows by the ids of their runs, in the order of *runs*."""
    from mlflow.exceptions import MlflowException

    found: dict[str, RunRows] = {}
    for index, run in enumerate(runs):
        if run.run_id in found:
            raise BulkError(index, f"run {run.run_id} is there twice")
        try:
            found[run.run_id] = rows_of(store, experiment, run)
        except (MlflowException, ValueError) as error:
            raise BulkError(index, str(error)) from None
    return found


def _write(store: Any, experiment_id: int, rows: Mapping[str, RunRows], attempts: int) -> Receipt:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import IntegrityError

    try:
        with store.ManagedSessionMaker(read_only=False) as session:
            there = _find(session, rows)
            refused = [key for key, run in there.items() if run.experiment_id != experiment_id]
            if not refused:
                return _apply(session, rows, there)
    except MlflowException as error:
        # Somebody else has just written one of the runs: now it is there to be found.
        if attempts == 1 or not isinstance(error.__cause__, IntegrityError):
            raise
        return _write(store, experiment_id, rows, attempts - 1)
    run_id = refused[0]
    raise BulkError([*rows].index(run_id), f"run {run_id} is in another experiment")


def _find(session: Session, run_ids: Iterable[str]) -> dict[str, Any]:
    import sqlalchemy as sa

    runs = _table("SqlRun")
    columns = (runs.c.run_uuid, runs.c.experiment_id, runs.c.lifecycle_stage)
    chosen = sa.select(*columns).where(runs.c.run_uuid.in_(run_ids))
    return {run.run_uuid: run for run in session.execute(chosen)}


def _apply(session: Session, rows: Mapping[str, RunRows], there: Mapping[str, Any]) -> Receipt:
    # In one order, so that two calls never wait for each other.
    new = [rows[run_id] for run_id in sorted(rows) if run_id not in there]
    old = [rows[run_id] for run_id in sorted(there)]
    _bring_back(session, [key for key, run in there.items() if run.lifecycle_stage != "active"])
    _insert(session, "SqlRun", (each.run for each in new))
    for model, kind in LOGGED.items():
        _insert(session, model, (row for each in new for row in getattr(each, kind)))
    changed = _changed_tags(session, old)
    _insert(session, "SqlTag", [*(tag for each in new for tag in each.tags), *changed])
    return Receipt(made=len(new), kept=len(old))


def _bring_back(session: Session, deleted: Sequence[str]) -> None:
    import sqlalchemy as sa

    if deleted:
        runs = _table("SqlRun")
        active = {"lifecycle_stage": "active", "deleted_time": None}
        session.execute(sa.update(runs).where(runs.c.run_uuid.in_(deleted)).values(active))


def _changed_tags(session: Session, old: Sequence[RunRows]) -> list[Row]:
    """Return the tags of runs that are there which say something new; they are free to insert.

    Their names stay: somebody may have given them others.
    """
    import sqlalchemy as sa

    if not old:
        return []
    table = _table("SqlTag")
    chosen = sa.select(table.c.run_uuid, table.c.key, table.c.value)
    ids = [each.run_id for each in old]
    said = {tuple(tag) for tag in session.execute(chosen.where(table.c.run_uuid.in_(ids)))}
    tags = (tag for each in old for tag in each.tags if tag["key"] != RUN_NAME)
    changed = [tag for tag in tags if (tag["run_uuid"], tag["key"], tag["value"]) not in said]
    is_it = (table.c.run_uuid == sa.bindparam("its_run")) & (table.c.key == sa.bindparam("its_key"))
    places = [{"its_run": tag["run_uuid"], "its_key": tag["key"]} for tag in changed]
    if places:
        session.execute(sa.delete(table).where(is_it), places)
    return changed


def _insert(session: Session, model: str, rows: Iterable[Row]) -> None:
    import sqlalchemy as sa

    given, table, connection = list(rows), _table(model), session.connection()
    if not given:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(sa.insert(table), given)
        return
    # Its driver takes thousands of rows in less time than SQLAlchemy takes to look through them.
    names = [*given[0]]
    places = ", ".join("?" * len(names))
    text = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"
    connection.exec_driver_sql(text, [*map(itemgetter(*names), given)])


def _table(model: str) -> Any:
    from mlflow.store.tracking.dbmodels import models

    return getattr(models, model).__table__
