"""Run a study, or what is missing of it, and say what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import NoTrialCompletedError
from mlflow_ext.tuning.attributes import ERROR
from mlflow_ext.tuning.desk import Desk
from mlflow_ext.tuning.front import find_front, seconds_of, value_of
from mlflow_ext.tuning.journal import begin_study, open_store, quiet_optuna
from mlflow_ext.tuning.stores import reaching

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mlflow_ext.project import Search
    from mlflow_ext.tuning.rescored import Rescored
    from mlflow_ext.tuning.trials import Objective


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study found, all its processes together."""

    name: str
    best_params: dict[str, Any]
    """Argument of the estimator -> value of the best trial."""
    best_value: float
    """The metric of the best trial, the deciding one of several; finite."""
    best_trial: int
    """Number of the best trial."""
    best_trials: tuple[int, ...] = ()
    """Numbers of the trials that none beats in every objective, the best one first."""
    n_complete: int
    n_pruned: int
    n_failed: int
    """Trials whose objective raised or whose process stopped."""
    seconds: float
    """Time spent inside trials."""
    rescored: Rescored | None = None
    """What fresh rows say of the best trials; its winner goes before the best of the search."""


def run_study(search: Search, objective: Objective, *, name: str, storage_dir: Path) -> StudyResult:
    """Run the trials that study *name* still lacks.

    A trial whose objective raises is marked FAIL and counts; one whose process stopped is marked
    FAIL, does not count and is repeated, until its parameters have ended `MAX_ATTEMPTS` processes.
    With one worker and no timeout, equal seeds and data give equal trials, interrupted or not;
    `mlflow_ext.tuning.samplers.make_pruner` names the two exceptions.

    Args:
        search: Space, objectives, sampler, pruner and seed; ``n_trials`` is the total wanted,
            ``timeout`` the seconds after which this call begins no trial any more, and ``workers``
            how many processes or Spark tasks run trials; one process means this one.
        objective: Takes a `mlflow_ext.tuning.trials.ClaimedTrial`, whose parameters are those of
            ``search.space``; must be picklable where others than this process run it.
        name: Name of the study; an existing one goes on.
        storage_dir: Folder of the journals.

    Returns:
        The best trial and the counts, over the whole study.

    Raises:
        NoTrialCompletedError: No trial completed.
        SearchError: The study was begun with another search, or the objective cannot be sent to a
            worker.
        StoreUnreachableError: The place of the study does not answer, or has ceased to.
        MlflowExtError: The objective raised one: it concerns every trial, not this one.
    """
    store = open_store(search, name, storage_dir)
    study = begin_study(store, search, name)
    with reaching(store.where), quiet_optuna():
        run_trials(Desk(store, study, search), search, objective)
        return summarize(study)


def run_trials(desk: Desk, search: Search, objective: Objective) -> None:
    """Run the trials that *desk* gives out: here, in processes beside this one, or on Spark."""
    from mlflow_ext.tuning.spark import run_on_spark
    from mlflow_ext.tuning.workers import run_in_processes

    with desk.showing_life():
        if search.engine == "spark":
            run_on_spark(desk, objective, search.workers)
        elif search.workers > 1:
            run_in_processes(desk, objective, search.workers)
        else:
            _run_here(desk, objective)


def _run_here(desk: Desk, objective: Objective) -> None:
    from mlflow_ext.tuning.trials import run_trial

    try:
        claim = desk.claim()
        while claim:
            outcome = run_trial(objective, claim, desk.judge)
            with desk.exclusive():
                desk.tell(outcome)
                claim = desk.claim()
    finally:
        desk.abandon()


def summarize(study: optuna.Study) -> StudyResult:
    """Find the best trial of *study* and count the others.

    Raises:
        NoTrialCompletedError: No trial completed with finite values that keep the constraints.
    """
    from optuna.trial import TrialState

    trials = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    states = Counter(trial.state for trial in trials)
    front = find_front(study)
    if not front:
        raise _nothing_found(study, trials)
    best = front[0]
    return StudyResult(
        name=study.study_name,
        best_params=best.params,
        best_value=value_of(best),
        best_trial=best.number,
        best_trials=tuple(trial.number for trial in front),
        n_complete=states[TrialState.COMPLETE],
        n_pruned=states[TrialState.PRUNED],
        n_failed=states[TrialState.FAIL],
        seconds=sum(seconds_of(trial) for trial in trials),
    )


def _nothing_found(study: optuna.Study, trials: Sequence[FrozenTrial]) -> NoTrialCompletedError:
    causes = [trial.user_attrs[ERROR] for trial in trials if ERROR in trial.user_attrs]
    counts = Counter(trial.state.name for trial in trials)
    return NoTrialCompletedError(study.study_name, counts, causes)
