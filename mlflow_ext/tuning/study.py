"""Run a study, or what is missing of it; nothing is lost or doubled when a process dies.

Every trial carries the name of the process that runs it. Who comes next finds the trials that are
still marked as running, asks whether their processes live, and has the others repeated.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import MlflowExtError, SearchError
from mlflow_ext.process import current_process, is_alive
from mlflow_ext.tuning.attributes import ATTEMPT, ERROR, OWNER, RETRY_OF
from mlflow_ext.tuning.journal import journal_file, locked, open_study, quiet_optuna

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mlflow_ext.project import Search

# Parameters that end a process (out of memory, a crash in C) must not end every one that resumes.
MAX_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study found, all its processes together."""

    name: str
    best_params: dict[str, Any]
    """Constructor argument -> value of the best trial."""
    best_value: float
    """The metric of the best trial; finite."""
    best_trial: int
    """Number of the best trial."""
    n_complete: int
    n_pruned: int
    n_failed: int
    """Trials whose objective raised or whose process stopped."""
    seconds: float
    """Time spent inside trials."""


def run_study(
    search: Search,
    objective: Callable[[optuna.Trial], float],
    *,
    name: str,
    storage_dir: Path,
    on_trial: Callable[[FrozenTrial], object] | None = None,
) -> StudyResult:
    """Run the trials that study *name* still lacks.

    A trial whose objective raises is marked FAIL and counts; one whose process stopped is marked
    FAIL, does not count and is repeated, until its parameters have ended `MAX_ATTEMPTS` processes.
    With one process at a time and no timeout, equal seeds and data give equal trials, interrupted
    or not; `make_pruner` names the exception.

    Args:
        search: Space, direction, sampler, pruner and seed; ``n_trials`` is the total wanted, and
            ``timeout`` the seconds after which this call begins no trial any more.
        objective: Scores one trial.
        name: Name of the study; an existing one goes on.
        storage_dir: Folder of the journals.
        on_trial: Called with every trial that this call finished.

    Returns:
        The best trial and the counts, over the whole study.

    Raises:
        SearchError: No trial completed, or the study was begun with another search.
        MlflowExtError: The objective raised one: it concerns every trial, not this one.
    """
    deadline = time.monotonic() + (search.timeout or math.inf)
    study = open_study(search, name, storage_dir)
    study.pruner = make_pruner(search)
    file = journal_file(name, storage_dir)
    with quiet_optuna():
        while trial := _claim(study, search, file):
            try:
                finished = _run_trial(study, trial, objective)
            except BaseException:
                _give_back(study, search, file, trial.number)
                raise
            if on_trial:
                on_trial(finished)
            if time.monotonic() >= deadline:
                break
    return summarize(study)


def make_sampler(search: Search, ordinal: int) -> optuna.samplers.BaseSampler:
    """Make the sampler of the trial that follows *ordinal* others.

    Seeded for each trial anew: the state of a sampler dies with its process, and this way the one
    that resumes proposes what the other would have proposed.
    """
    import numpy as np
    import optuna

    seed = int(np.random.SeedSequence([search.seed, ordinal]).generate_state(1)[0])
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def make_pruner(search: Search) -> optuna.pruners.BasePruner:
    """Make the pruner of *search*; one step is one fraction.

    Hyperband assigns a trial to its bracket by study name and trial number: the numbers behind a
    repeated trial are shifted by one, so a resumed study may prune others than an unbroken one.
    """
    import optuna

    if search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=len(search.fractions))
    if search.pruner == "median":
        return optuna.pruners.MedianPruner()
    return optuna.pruners.NopPruner()


def summarize(study: optuna.Study) -> StudyResult:
    """Find the best trial of *study* and count the others.

    Raises:
        SearchError: No trial completed with a finite value.
    """
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    trials = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    states = Counter(trial.state for trial in trials)
    usable = [t for t in trials if t.state is TrialState.COMPLETE and math.isfinite(value_of(t))]
    if not usable:
        raise _nothing_found(study, trials)
    choose = max if study.direction is StudyDirection.MAXIMIZE else min
    best = choose(usable, key=value_of)
    return StudyResult(
        name=study.study_name,
        best_params=best.params,
        best_value=value_of(best),
        best_trial=best.number,
        n_complete=states[TrialState.COMPLETE],
        n_pruned=states[TrialState.PRUNED],
        n_failed=states[TrialState.FAIL],
        seconds=sum(seconds_of(trial) for trial in trials),
    )


def value_of(trial: FrozenTrial) -> float:
    """Return the value of *trial*, NaN when it has none."""
    return math.nan if trial.value is None else trial.value


def seconds_of(trial: FrozenTrial) -> float:
    """Return how long *trial* took, 0 when it never began."""
    return trial.duration.total_seconds() if trial.duration else 0.0


def _claim(study: optuna.Study, search: Search, file: Path) -> optuna.Trial | None:
    """Take the next trial, or None when there are enough. One process at a time gets here."""
    with locked(file, "claim"):
        _repeat(study, search, _is_orphan, blame=1)
        begun = _count_begun(study.get_trials(deepcopy=False))
        if begun >= search.n_trials:
            return None
        study.sampler = make_sampler(search, begun)
        trial = study.ask()
        trial.set_user_attr(OWNER, current_process())
        return trial


def _count_begun(trials: Sequence[FrozenTrial]) -> int:
    from optuna.trial import TrialState

    repeated = _repeated(trials)
    begun = [t for t in trials if t.state is not TrialState.WAITING and t.number not in repeated]
    return len(begun)


def _repeated(trials: Sequence[FrozenTrial]) -> set[int | None]:
    return {trial.user_attrs.get(RETRY_OF) for trial in trials}


def _give_back(study: optuna.Study, search: Search, file: Path, number: int) -> None:
    """Have trial *number* repeated later: what stopped it is not the fault of its parameters."""
    with locked(file, "claim"):
        _repeat(study, search, lambda trial: trial.number == number, blame=0)


def _is_orphan(trial: FrozenTrial) -> bool:
    owner = trial.user_attrs.get(OWNER)
    # A process names itself while it holds the lock, so whoever did not is gone.
    return owner is None or is_alive(owner) is False


def _repeat(
    study: optuna.Study, search: Search, is_over: Callable[[FrozenTrial], bool], blame: int
) -> None:
    """Queue every running trial that *is_over* again, and end it.

    *blame* is 1 when its parameters may be what ended its process, 0 when they are not.
    """
    from optuna.trial import TrialState

    repeated = _repeated(study.get_trials(deepcopy=False))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not is_over(trial):
            continue
        attempt = trial.user_attrs.get(ATTEMPT, 1) + blame
        # First queued, then ended: a crash in between loses nothing.
        if trial.number not in repeated and attempt <= MAX_ATTEMPTS:
            # Half a proposal is dropped: the sampler, seeded alike, makes the whole one again.
            params = trial.params if trial.params.keys() == search.space.keys() else {}
            study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number, ATTEMPT: attempt})
        study.tell(trial.number, state=TrialState.FAIL)


def _run_trial(
    study: optuna.Study, trial: optuna.Trial, objective: Callable[[optuna.Trial], float]
) -> FrozenTrial:
    import optuna

    try:
        return study.tell(trial, _evaluate(objective, trial))
    except optuna.TrialPruned:
        return study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except MlflowExtError:
        raise
    except Exception as error:  # whatever an estimator raises is a fact about its parameters
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
        return study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _evaluate(objective: Callable[[optuna.Trial], float], trial: optuna.Trial) -> float:
    value = float(objective(trial))
    if math.isnan(value):
        raise ValueError("the objective returned nan")
    return value


def _nothing_found(study: optuna.Study, trials: Sequence[FrozenTrial]) -> SearchError:
    states = Counter(trial.state.name for trial in trials)
    causes = Counter(t.user_attrs[ERROR] for t in trials if ERROR in t.user_attrs)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none ran"
    cause, count = next(iter(causes.most_common(1)), ("", 0))
    common = f"; most common cause ({count} times): {cause}" if cause else ""
    return SearchError(
        f"no trial of study '{study.study_name}' completed with a finite value: {counts}{common}",
        "at least one completed trial",
        "mend the cause, then choose another study name: finished trials are not repeated",
    )
