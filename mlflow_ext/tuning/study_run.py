"""The MLflow run of a study, found again from the study alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlflow_ext.errors import SearchError
from mlflow_ext.tuning.attributes import RUN, STUDY, STUDY_ID
from mlflow_ext.tuning.leaderboard import metric_names
from mlflow_ext.tuning.mirror import StudyRun, context_tags, open_study_run, spell_sync
from mlflow_ext.tuning.sessions import end_run

if TYPE_CHECKING:
    import optuna
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

OTHERS_SECONDS = 1.0
"""Who was about to begin a run of the same study at the same moment has begun it by then."""


def find_study_run(
    client: MlflowClient, study: optuna.Study, where: str, experiment: str | None = None
) -> StudyRun:
    """Find the run under which *study* last went on.

    Args:
        client: Speaks to the tracking store.
        study: A study that `mlflow_ext.tuning.tune` has begun.
        where: The folder of journals, or the URL of the database, in which the study lies.
        experiment: Name of the experiment in which to begin a run for it, where it has none.

    Raises:
        SearchError: The study was not begun by mlflow_ext; or its run is not in this store, and no
            experiment is named, or a deleted one.
        mlflow.exceptions.MlflowException: The store does not answer, or refuses.
    """
    if STUDY_ID not in study.user_attrs:
        raise SearchError(
            f"study '{study.study_name}' was begun without mlflow_ext",
            "a study that mlflow_ext.tuning.tune or 'mlflow-ext tune run' has begun",
            "choose one that 'mlflow-ext tune list' shows with its search",
        )
    run = _remembered(client, study)
    if run is None and experiment is None:
        raise SearchError(
            f"the run of study '{study.study_name}' is not in the store {client.tracking_uri}",
            "the store in which it was tracked, or the name of an experiment for it",
            f"{spell_sync(study.study_name, where)} --experiment NAME",
        )
    run = run or _begin(client, study, str(experiment))
    return open_study_run(client, run, study, *metric_names(study))


def _remembered(client: MlflowClient, study: optuna.Study) -> Run | None:
    from mlflow.exceptions import MlflowException

    if RUN not in study.user_attrs:
        return None
    try:
        run = client.get_run(study.user_attrs[RUN])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _begin(client: MlflowClient, study: optuna.Study, experiment: str) -> Run:
    identity = _find_experiment(client, experiment)
    # Not the tag of the study itself, which its thousands of child runs carry too.
    own = {RUN: study.user_attrs[STUDY_ID], STUDY: study.study_name}
    begun = _list_begun(client, identity, own[RUN])
    if begun and time.time() - begun[0].info.start_time / 1000 > 2 * OTHERS_SECONDS:
        return begun[0]
    mine = None if begun else client.create_run(identity, None, context_tags() | own, own[STUDY])
    if mine:
        end_run(client, mine.info.run_id, "FINISHED")
    time.sleep(OTHERS_SECONDS)
    first = _list_begun(client, identity, own[RUN])[0]
    if mine and mine.info.run_id != first.info.run_id:
        client.delete_run(mine.info.run_id)
    return first


def _list_begun(client: MlflowClient, experiment_id: str, study_id: str) -> list[Run]:
    """List the runs that were begun for a study, in the order in which everybody sees them."""
    begun = client.search_runs([experiment_id], f"tags.`{RUN}` = '{study_id}'")
    return sorted(begun, key=lambda run: (run.info.start_time, run.info.run_id))


def _find_experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is made if it is missing."""
    named = client.get_experiment_by_name(name) or _make_experiment(client, name)
    if named.lifecycle_stage != "active":
        raise SearchError(
            f"experiment '{name}' is deleted",
            "an active experiment, or the name of a new one",
            f"mlflow experiments restore -x {named.experiment_id}",
        )
    return str(named.experiment_id)


def _make_experiment(client: MlflowClient, name: str) -> Experiment:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(name))
    except MlflowException:
        named = client.get_experiment_by_name(name)
        if named is None:
            raise
        return named  # somebody else was quicker
