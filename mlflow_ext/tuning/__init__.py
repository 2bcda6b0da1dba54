"""Search for parameters with Optuna; show every trial in MLflow; lose none.

The truth about a study lies in Optuna's own journal file (`journal`, `study`); MLflow gets a mirror
that can be made again from it (`mirror`), and one page of plots (`plots`). `tune` ties them
together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import MlflowExtError
from mlflow_ext.tuning.objective import Tables

if TYPE_CHECKING:
    from mlflow_ext.project import Search
    from mlflow_ext.tuning.study import StudyResult

__all__ = ["Tables", "TuningTask", "tune"]


@dataclass(frozen=True, kw_only=True)
class TuningTask:
    """Everything `tune` has to know."""

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
    score: Callable[[Any, Any], float]
    """True classes, probabilities of the positive class -> the metric of the search."""


def tune(task: TuningTask) -> StudyResult:
    """Run a study, or the rest of it, under the active MLflow run.

    Every finished trial becomes one child run; the study's plots, leaderboard and summary land on
    the active run itself. After a crash, call it again under the same run or under another: the
    child runs move under the run that called last.

    Args:
        task: What to search, on which rows.

    Returns:
        The best parameters and the counts.

    Raises:
        SearchError: The search does not fit its estimator, no trial completed, or the study was
            begun with another search or on other rows.
        TableError: A table is empty or its target has one class.
        MlflowExtError: No MLflow run is active.
    """
    import mlflow

    from mlflow_ext.tuning.journal import journal_file, open_study, quiet_optuna
    from mlflow_ext.tuning.mirror import mirror_trial, open_study_run, sync
    from mlflow_ext.tuning.objective import Objective, bind_rows, check_tables
    from mlflow_ext.tuning.plots import log_study
    from mlflow_ext.tuning.space import check_search
    from mlflow_ext.tuning.study import run_study

    search, name, folder = task.search, task.name, task.storage_dir
    check_search(search)
    check_tables(task.tables)
    parent = mlflow.active_run()
    if parent is None:
        raise MlflowExtError("no MLflow run is active", "an active run", "use mlflow.start_run()")
    objective = Objective(
        search=search, make_model=task.make_model, tables=task.tables, score=task.score
    )
    study = open_study(search, name, folder)
    bind_rows(study, task.tables)
    place = open_study_run(mlflow.MlflowClient(), parent, study, search.metric)
    sync(place, study)
    mirror = partial(mirror_trial, place)
    try:
        result = run_study(search, objective, name=name, storage_dir=folder, on_trial=mirror)
    finally:
        sync(place, study)
    with quiet_optuna():
        log_study(place, study, search, result, journal_file(name, folder))
    return result
