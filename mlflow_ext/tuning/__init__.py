"""Search for parameters with Optuna; show every trial in MLflow; lose none.

The truth about a study lies in Optuna's own storage (`stores`, `journal`); one process keeps it
(`desk`) and hands its trials to workers (`crew`, `workers`, `spark`). MLflow gets a mirror that can
be made again from it (`mirror`), and one page of plots (`plots`). `tune` ties them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.tuning.rows import Tables

if TYPE_CHECKING:
    from mlflow import ActiveRun

    from mlflow_ext.project import Search
    from mlflow_ext.tuning.stores import StudyStore
    from mlflow_ext.tuning.study import StudyResult
    from mlflow_ext.tuning.trials import Objective

__all__ = ["Tables", "TuningTask", "tune"]


@dataclass(frozen=True, kw_only=True)
class TuningTask:
    """Everything `tune` has to know.

    Where several processes run the trials, ``make_model`` and ``score`` are pickled: functions and
    classes that stand at the top of a module, `functools.partial` of them, no lambda.
    """

    name: str
    """Name of the study; one that exists goes on."""
    storage_dir: Path
    """Folder of the journals."""
    search: Search
    """What is searched, and for how long."""
    make_model: Callable[[dict[str, Any]], Any]
    """Parameters -> a classifier with ``fit`` and ``predict_proba``, not fitted."""
    tables: Tables
    """The rows to learn from and to score on."""
    score: Callable[[str, Any, Any], float]
    """Metric, true classes, probabilities of the positive class -> its value."""
    first: Sequence[Mapping[str, Any]] = ()
    """Points to try before any other when the study begins, such as the champion's parameters."""
    fresh: Tables | None = None
    """The training rows, and as validation rows such as no trial sees: the best trials are scored
    again on them as ``search.rescore`` says, and the winner is theirs. The metric, and those of
    constraints, must be of `mlflow_ext.evaluation`."""
    decision_threshold: float = 0.5
    """Probability from which the positive class is predicted, on fresh rows."""
    is_quiet: bool = False
    """True writes no progress to stderr."""

    @property
    def where(self) -> str:
        """The folder of journals, or the URL of the database, in which the study lies."""
        return self.search.storage or str(self.storage_dir)


def tune(task: TuningTask) -> StudyResult:
    """Run a study, or the rest of it, under the active MLflow run.

    Every finished trial becomes one child run; the study's plots, leaderboard and summary land on
    the active run itself. After a crash, call it again under the same run or under another: the
    child runs move under the run that called last. Runs of calls that were killed are ended, and a
    tracking server that has died costs no result: what it lacks is told with the command that
    brings it there later. Of several machines that share a study, the last to end writes its
    record, to the run that holds the trials.

    Args:
        task: What to search, on which rows.

    Returns:
        The best parameters and the counts.

    Raises:
        NoTrialCompletedError: Every trial failed, was pruned or broke a constraint.
        SearchError: The search does not fit its estimator, or the study was begun with another
            search or on other rows.
        TableError: A table is empty or its target has one class.
        UnknownNameError: There are fresh rows, and a metric that they cannot be scored with.
        StoreUnreachableError: The place of the study does not answer, or has ceased to.
        NoActiveRunError: No MLflow run is active.
    """
    from mlflow_ext.tracking.active import active_run
    from mlflow_ext.tuning.journal import open_store
    from mlflow_ext.tuning.rescoring import check_metrics
    from mlflow_ext.tuning.rows import check_tables
    from mlflow_ext.tuning.space import check_search
    from mlflow_ext.tuning.stores import reaching

    check_search(task.search)
    check_tables(task.tables, task.search)
    if task.fresh:
        check_metrics(task.search)
    parent = active_run()
    store = open_store(task.search, task.name, task.storage_dir)
    with reaching(store.where):
        return _go_on(task, store, parent)


def _go_on(task: TuningTask, store: StudyStore, parent: ActiveRun) -> StudyResult:
    from mlflow import MlflowClient

    from mlflow_ext.tracking.patience import impatient
    from mlflow_ext.tuning.conclusion import Conclusion
    from mlflow_ext.tuning.desk import Desk
    from mlflow_ext.tuning.journal import begin_study, keep_budget, open_study, quiet_optuna
    from mlflow_ext.tuning.mirror import following, open_study_run
    from mlflow_ext.tuning.progress import Goal, showing
    from mlflow_ext.tuning.rows import bind_rows
    from mlflow_ext.tuning.sessions import settle_dead, working
    from mlflow_ext.tuning.study import run_trials

    search = task.search
    study = begin_study(store, search, task.name, task.first)
    bind_rows(study, task.tables)
    keep_budget(study, search)
    metrics = [aim.metric for aim in search.aims]
    place = open_study_run(MlflowClient(), parent, study, *metrics)
    # A handle of its own: what looks on sees what is written, not what is about to be.
    seen = open_study(search, task.name, task.storage_dir)
    goal = Goal(n_trials=search.n_trials, timeout=search.timeout)
    with working(study, parent.info.run_id, is_shared=bool(search.storage)), quiet_optuna():
        with impatient():
            settle_dead(place.client, study)
        with (
            following(place, seen, task.where) as follower,
            showing(seen, goal, is_quiet=task.is_quiet),
        ):
            run_trials(Desk(store, study, search), search, make_objective(task))
        told = follower.is_behind
        return Conclusion(task=task, store=store, study=study, place=place, is_told=told).draw()


def make_objective(task: TuningTask) -> Objective:
    """Make what scores a trial: with its rows, or, for worker processes, with the way to them."""
    from mlflow_ext.tuning.objective import Objective, StoredObjective
    from mlflow_ext.tuning.rows import fingerprint_rows, store_tables
    from mlflow_ext.tuning.stores import journal_file

    make = partial(Objective, search=task.search, make_model=task.make_model, score=task.score)
    if task.search.engine == "spark" or task.search.workers == 1:
        return make(tables=task.tables)
    digest = "-".join(digest[:8] for digest in fingerprint_rows(task.tables))
    folder = journal_file(task.name, task.storage_dir).with_suffix(f".rows-{digest}")
    store_tables(task.tables, folder)
    return StoredObjective(make=make, folder=folder)
