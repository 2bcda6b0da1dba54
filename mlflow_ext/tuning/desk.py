"""The one place of a process where trials of a study are given out and taken back.

Every trial carries the name of the process that gave it out. Who comes next finds the trials that
are still marked as running, asks whether their processes live, and has the others repeated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from mlflow_ext.process import current_process
from mlflow_ext.tuning.attributes import ATTEMPT, FIRST, OWNER, RETRY_OF, STUDY_ID
from mlflow_ext.tuning.heartbeat import beating, has_died
from mlflow_ext.tuning.samplers import has_stagnated, make_pruner, make_sampler, next_point
from mlflow_ext.tuning.space import is_whole, suggest

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

    from mlflow_ext.project import Parameter, Search
    from mlflow_ext.tuning.stores import StudyStore
    from mlflow_ext.tuning.trials import Claim, Outcome, Reports

# Of this process, so that each knows what the others have given out.
_desks: WeakSet[Desk] = WeakSet()

# Parameters that end a process (out of memory, a crash in C) must not end every one that resumes.
MAX_ATTEMPTS = 5

# Optuna's names in a trial for the point it began with, and for what a pruner noted.
POINT, RUNG = "fixed_params", "completed_rung_"


def count_done(study: optuna.Study) -> int:
    """Count the trials of *study* that have ended, but those that others repeat."""
    trials = study.get_trials(deepcopy=False)
    repeated = find_repeated(trials)
    return sum(trial.state.is_finished() and trial.number not in repeated for trial in trials)


def find_repeated(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that one of *trials* repeats."""
    return {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}


class Desk:
    """Gives out the trials that a study still lacks.

    Args:
        store: Where the study lies.
        study: The study.
        search: Space, sampler, pruner, and how many trials in how much time.
    """

    def __init__(self, store: StudyStore, study: optuna.Study, search: Search) -> None:
        self._store, self._study, self._search = store, study, search
        self._study.pruner = make_pruner(search)
        facts = study.user_attrs
        self._study_id = facts.get(STUDY_ID)
        self._points: list[dict[str, Any]] = [*facts.get(FIRST, ()), *search.enqueue]
        self._deadline = time.monotonic() + (search.timeout or math.inf)
        self._owner = current_process()
        self._given: dict[int, optuna.Trial] = {}
        self._has_begun = False
        self._seen = 0
        self._repeated: set[int] = set()
        _desks.add(self)

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other processes off; in a journal, all that is said inside is one write."""
        return self._store.exclusive()

    def showing_life(self) -> AbstractContextManager[None]:
        """Let other machines see that this process lives, where they can look at the study."""
        return beating(self._study) if self._search.storage else nullcontext()

    def claim(self) -> Claim | None:
        """Give out the next trial, or None when there are enough."""
        with self.exclusive():
            trial = None if self._is_over() else self._next()
            return self._register(trial) if trial else None

    def count_missing(self) -> int:
        """Return how many trials the study lacks, those of dead processes among them."""
        with self.exclusive():
            self._repeat(self._is_orphan, blame=1)
            return max(0, self._search.n_trials - self._count_begun())

    def judge(self, number: int, reports: Reports) -> bool:
        """Take intermediate values of trial *number* and say whether to prune it."""
        with self.exclusive():
            for step, value in reports.items():
                self._given[number].report(value, step)
            return bool(self._given[number].should_prune())

    def tell(self, outcome: Outcome) -> None:
        """Take back a trial that has ended."""
        from optuna.trial import TrialState

        with self.exclusive():
            trial = self._given[outcome.number]
            if not self._search.objectives:  # Optuna takes none where values cannot be compared
                for step, value in outcome.reports.items():
                    trial.report(value, step)
            for key, value in outcome.attributes.items():
                trial.set_user_attr(key, value)
            _tell(self._study, trial, outcome.values or None, TrialState[outcome.state])
            del self._given[outcome.number]  # whatever went wrong before, `abandon` repeats it

    def repeat(self, numbers: Collection[int], *, blame: int) -> None:
        """Have trials that were given out repeated later.

        Args:
            numbers: The trials.
            blame: 1 when their parameters may be what ended their process, 0 when they are not.
        """
        with self.exclusive():
            self._repeat(lambda trial: trial.number in numbers, blame)
            for number in numbers:
                self._given.pop(number, None)

    def abandon(self) -> None:
        """Have everything repeated that is still out: no trial is to blame for what ends us."""
        try:
            if self._given:
                self.repeat(tuple(self._given), blame=0)
        finally:  # where that could not be written, who goes on does it, in this process too
            self._given.clear()

    def _is_over(self) -> bool:
        # The first one always begins: a budget too small for any would never end.
        is_late = self._has_begun and time.monotonic() >= self._deadline
        return is_late or (self._search.terminator and has_stagnated(self._study))

    def _next(self) -> optuna.Trial | None:
        self._repeat(self._is_orphan, blame=1)
        begun = self._count_begun()
        if begun >= self._search.n_trials:
            return None
        if not self._queue_point() and self._search.sampler == "grid":
            return None
        self._study.sampler = make_sampler(self._search, begun, self._study.sampler)
        return self._study.ask()

    def _count_begun(self) -> int:
        """Count the trials, but those that wait and those that others repeat."""
        repeated = self._list_repeated()
        return self._seen - len(repeated) - len(self._list_open("WAITING"))

    def _register(self, trial: optuna.Trial) -> Claim:
        from mlflow_ext.tuning.trials import Claim

        self._has_begun = True
        self._given[trial.number] = trial
        trial.set_user_attr(OWNER, self._owner)
        return Claim(
            number=trial.number,
            params=suggest(trial, self._search.space),
            n_values=len(self._search.aims),
            is_prunable=self._search.pruner != "none",
        )

    def _queue_point(self) -> bool:
        """Make sure that a known point, or one of the grid, waits; say whether any was left.

        One at a time: a trial that is repeated would come behind all that wait.
        """
        is_grid = self._search.sampler == "grid"
        if not (is_grid or self._points):
            return False
        if self._list_open("WAITING"):
            return True
        trials = self._study.get_trials(deepcopy=False)
        begun = [trial.system_attrs.get(POINT) for trial in trials]
        self._points = [point for point in self._points if point not in begun]
        point = next(iter(self._points), None)
        if point is None and is_grid:
            point = next_point(self._search, [trial.params for trial in trials])
        if point is not None:
            self._study.enqueue_trial(point)
        return point is not None

    def _list_open(self, state: str) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState[state],))

    def _list_repeated(self) -> set[int]:
        """Return the numbers of the trials that others repeat; looks at each trial once."""
        trials = self._study.get_trials(deepcopy=False)
        self._repeated |= find_repeated(trials[self._seen :])
        self._seen = len(trials)
        return self._repeated

    def _is_orphan(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        if owner == self._owner:
            mine = (desk for desk in _desks if desk._study_id == self._study_id)
            return not any(trial.number in desk._given for desk in mine)
        # A process names itself while it holds the lock, so whoever did not is gone.
        return owner is None or has_died(self._study, owner)

    def _repeat(self, is_over: Callable[[FrozenTrial], bool], blame: int) -> None:
        """Queue every running trial that *is_over* again, and end it."""
        from optuna.trial import TrialState

        over = [trial for trial in self._list_open("RUNNING") if is_over(trial)]
        repeated = self._list_repeated() if over else set()
        for trial in over:
            attempt = trial.user_attrs.get(ATTEMPT, 1) + blame
            # First queued, then ended: a crash in between loses nothing.
            if trial.number not in repeated and attempt <= MAX_ATTEMPTS:
                self._study.add_trial(_again(trial, attempt, self._search.space))
            self._study.tell(trial.number, state=TrialState.FAIL)


def _again(trial: FrozenTrial, attempt: int, space: Mapping[str, Parameter]) -> FrozenTrial:
    """Make the waiting trial that repeats *trial*.

    What the sampler noted there goes along: it would not count the trial as its own without. What
    the pruner noted does not. Half a proposal is dropped, but for the point it began with: the
    sampler, seeded alike, makes the whole one again.
    """
    from optuna.trial import TrialState, create_trial

    facts = trial.system_attrs
    point = trial.params if is_whole(trial.params, space) else facts.get(POINT, {})
    kept = facts if is_whole(point, space) else {}
    return create_trial(
        state=TrialState.WAITING,
        system_attrs={k: v for k, v in kept.items() if not k.startswith(RUNG)} | {POINT: point},
        user_attrs={RETRY_OF: trial.number, ATTEMPT: attempt},
    )


def _tell(
    study: optuna.Study, trial: optuna.Trial, values: Sequence[float] | None, state: TrialState
) -> None:
    """Tell *study* how a trial has ended, without the deep copy of it that Optuna would return."""
    try:
        from optuna.study._tell import _tell_with_warning as tell
    except ImportError:  # it is Optuna's own affair
        study.tell(trial, values, state)
    else:
        tell(study, trial, values, state)
