"""Optuna's journal storage, less what makes the five-thousandth trial dearer than the first."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Container
from typing import TYPE_CHECKING

from optuna.storages import JournalStorage
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from mlflow_ext.tuning.backend import JournalFile


ENDED = tuple(state for state in TrialState if state.is_finished())


class StudyJournal(JournalStorage):
    """A journal that looks again only at trials that may have changed.

    Optuna goes through every trial to find the few that wait or run, several times for each new
    one. A trial that has ended never changes.

    Args:
        file: Holds the entries.
    """

    def __init__(self, file: JournalFile) -> None:
        self._listing = threading.Lock()
        self._listed: dict[int, list[FrozenTrial]] = defaultdict(list)
        self._open: dict[int, set[int]] = defaultdict(set)
        self._file, self._seen = file, defaultdict[int, int](int)
        super().__init__(file)  # type: ignore[arg-type]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """List the trials of a study, those in *states* alone where they are given."""
        with self._listing:
            read, size = self._file.sizes()
            if self._seen[study_id] != size:
                self._update(study_id)
                self._seen[study_id] = read  # what was read meanwhile is looked at next time
                self._file.settle()
            trials, still_open = self._listed[study_id], sorted(self._open[study_id])
            if states is None:
                found = list(trials)
            elif not any(state in states for state in ENDED):
                found = [trials[n] for n in still_open if trials[n].state in states]
            else:
                found = [t for t in trials if t.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _update(self, study_id: int) -> None:
        trials, still_open = self._listed[study_id], self._open[study_id]
        for number in still_open:
            trials[number] = self._get_by_number(study_id, number)
        try:
            while True:
                trials.append(self._get_by_number(study_id, len(trials)))
                still_open.add(len(trials) - 1)
        except KeyError:  # no more
            still_open -= {n for n in still_open if trials[n].state.is_finished()}

    def _get_by_number(self, study_id: int, number: int) -> FrozenTrial:
        return self.get_trial(self.get_trial_id_from_study_id_trial_number(study_id, number))
