"""Where the trials of one study appear in MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlflow_ext.tuning.attributes import OWN, RUN, STUDY, STUDY_ID
from mlflow_ext.tuning.mirror.spelling import spell_tags

if TYPE_CHECKING:
    import optuna
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """The run under which the trials of one study appear."""

    client: MlflowClient
    experiment_id: str
    parent_run_id: str
    metrics: tuple[str, ...]
    """What the values of the trials are called, objective by objective."""
    tags: Mapping[str, str]
    """Tags of every child run: its parent, its study, who made it."""

    @property
    def study_id(self) -> str:
        """Identity of the study."""
        return self.tags[STUDY_ID]

    @property
    def study_name(self) -> str:
        """Name of the study."""
        return self.tags[STUDY]

    def child_id(self, number: int) -> str:
        """Return the identity that the child run of a trial has wherever the client may choose.

        Those of a study differ in their ends alone: they lie side by side in every index of a
        database, which makes writing them quick however many runs there are.
        """
        return f"{self._names}{number:08x}"

    def number_of(self, run_id: str) -> int | None:
        """Return the trial whose `child_id` that is, if it is one."""
        is_chosen = run_id.startswith(self._names)
        return int(run_id.removeprefix(self._names), 16) if is_chosen else None

    @cached_property
    def own_tags(self) -> Mapping[str, str]:
        """The tags as MLflow takes them."""
        return spell_tags(self.tags)

    @cached_property
    def _names(self) -> str:
        where = f"{self.study_id}/{self.experiment_id}"
        return hashlib.sha256(where.encode()).hexdigest()[:24]

    def follow(self, study: optuna.Study) -> StudyRun:
        """Return this place under the run that was the last to go on with *study*.

        Another machine may have joined since this place was opened. One run holds all trials.
        """
        from mlflow.exceptions import MlflowException

        run_id = study.user_attrs.get(RUN, self.parent_run_id)
        if run_id == self.parent_run_id:
            return self
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return self  # it is in another store: there, it has all trials too
        return replace(
            self,
            experiment_id=run.info.experiment_id,
            parent_run_id=run_id,
            tags=_tags_under(run, study),
        )


def open_study_run(
    client: MlflowClient, parent: Run, study: optuna.Study, *metrics: str
) -> StudyRun:
    """Name the place where the trials of *study* appear.

    Args:
        client: Speaks to the tracking store.
        parent: The run of the study.
        study: A study that `mlflow_ext.tuning.journal.open_study` opened.
        metrics: What the values of the trials are called, one for each objective.
    """
    return StudyRun(
        client=client,
        experiment_id=parent.info.experiment_id,
        parent_run_id=parent.info.run_id,
        metrics=metrics,
        tags=_tags_under(parent, study),
    )


def context_tags() -> dict[str, str]:
    """Return what `mlflow.start_run` adds by itself: user, source, and what context plugins know.

    But for ours: code and environment are said by the run of the study alone.
    """
    from mlflow.tracking.context.registry import resolve_tags

    return {key: text for key, text in resolve_tags().items() if not key.startswith(OWN)}


def _tags_under(parent: Run, study: optuna.Study) -> dict[str, str]:
    """Say of a child what its parent says of user and source: not who shows it, maybe later."""
    known = {"mlflow.user", *context_tags()}
    context = {
        key: text
        for key, text in parent.data.tags.items()
        if key in known or key.startswith("mlflow.source.")
    }
    own = {STUDY: study.study_name, STUDY_ID: study.user_attrs[STUDY_ID]}
    return {**context, PARENT: parent.info.run_id, **own}
