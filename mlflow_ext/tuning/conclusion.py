"""The end of a call of `tune`: the winner, and the record of the study on its MLflow run.

The result waits for no tracking server: what it does not take is told in one line, and ``sync``
brings it there later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlflow_ext.errors import NoTrialCompletedError
from mlflow_ext.project import Rescore
from mlflow_ext.tracking.patience import impatient
from mlflow_ext.tuning.mirror import StudyRun, warn_missing
from mlflow_ext.tuning.rescored import count_finished, keep_rescored
from mlflow_ext.tuning.sessions import end_session, list_others, owe_end
from mlflow_ext.tuning.stores import journal_file
from mlflow_ext.tuning.study import summarize

if TYPE_CHECKING:
    import optuna

    from mlflow_ext.tuning import Tables, TuningTask
    from mlflow_ext.tuning.rescored import Rescored
    from mlflow_ext.tuning.stores import StudyStore
    from mlflow_ext.tuning.study import StudyResult

JOINED = "mlflow_ext.study.run"
"""Tag of a run: the run of the study, which another machine began; trials and record are there."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What is done when no trial is left to run."""

    task: TuningTask
    store: StudyStore
    study: optuna.Study
    place: StudyRun
    """As it was opened for this call."""
    is_told: bool
    """Whether somebody has said already that MLflow lacks something of the study."""

    def draw(self) -> StudyResult:
        """Find the winner and leave what is known on the run, also when nothing was found.

        Raises:
            NoTrialCompletedError: No trial completed.
            MlflowExtError: The best trials cannot be scored again; see
                `mlflow_ext.tuning.rescoring.rescore`.
        """
        try:
            result = self._find_winner()
        except NoTrialCompletedError:
            self._leave_record("FAILED")
            raise
        self._leave_record("FINISHED")
        return result

    def _find_winner(self) -> StudyResult:
        result, of_trials = summarize(self.study), count_finished(self.study)
        if self.task.fresh:
            result = replace(result, rescored=self._rescore(self.task.fresh))
        keep_rescored(self.study, result.rescored, of_trials)
        return result

    def _rescore(self, fresh: Tables) -> Rescored:
        from mlflow_ext.tuning.rescoring import Rescoring, rescore

        search = self.task.search
        how = search.rescore or Rescore()
        rescoring = Rescoring(
            make_model=self.task.make_model,
            tables=fresh,
            metric=search.metric,
            constraints=search.constraints,
            decision_threshold=self.task.decision_threshold,
            top=how.top,
            refits=how.refits,
            seed=search.seed,
        )
        return rescore(self.study, rescoring)

    def _leave_record(self, status: Literal["FINISHED", "FAILED"]) -> None:
        """Write what is known to the run of the study; the last to work on it does."""
        own = self.place.parent_run_id
        with self.store.exclusive():  # two that end at once would leave it to each other
            end_session(self.study, own)
            is_last = not list_others(self.study)
        try:
            with impatient():
                self._write_record(is_last)
        except Exception as error:  # whatever a store raises concerns the record, not the result
            owe_end(self.study, own, status)
            if not self.is_told:
                name = self.task.name
                warn_missing(f"the record of study '{name}' is", name, self.task.where, error)

    def _write_record(self, is_last: bool) -> None:
        from mlflow_ext.tuning.record import record_study

        own, task = self.place.parent_run_id, self.task
        place = self.place.follow(self.study)
        if place.parent_run_id != own:
            place.client.set_tag(own, JOINED, place.parent_run_id)
        if is_last:
            file = None if task.search.storage else journal_file(task.name, task.storage_dir)
            record_study(place, self.study, task.search, file)
