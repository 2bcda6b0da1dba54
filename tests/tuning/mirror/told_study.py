"""A study whose trials end in every way, and a program that mirrors it and can be killed on cue.

``python told_study.py sync FOLDER URI EXPERIMENT`` waits for a line and syncs; ``... follow ...
MOMENT`` runs a study of `N_TRIALS` while it is mirrored, and stops for good at MOMENT.
"""

import math
import sys
import time
import uuid
from pathlib import Path

import optuna

from mlflow_ext.tuning.attributes import ERROR, REPORTED_MS, STUDY_ID, TRIAL
from mlflow_ext.tuning.backend import make_lock

NAME = "bob's study"
N_TRIALS = 30
METRIC = "roc_auc"


def open_told(folder, directions=("maximize",)):
    """Begin the study in *folder*, or open it again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = Path(folder) / "told.journal"
    lock = make_lock(file.with_suffix(".lock"))  # Optuna's own outlives a process that is killed
    backend = optuna.storages.journal.JournalFileBackend(str(file), lock)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        sampler=optuna.samplers.RandomSampler(seed=1),
        study_name=NAME,
        directions=directions,
        load_if_exists=True,
    )
    if STUDY_ID not in study.user_attrs:
        study.set_user_attr(STUDY_ID, uuid.uuid4().hex)
    return study


def tell_trials(study, n=6):
    """Add trials: of six, one is pruned, one fails, one reports nan and one ends in infinity."""
    for _ in range(n):
        trial = study.ask()
        kind = trial.number % 6
        x, y = trial.suggest_float("x", -1, 1), trial.suggest_categorical("kind's", ["a", None])
        trial.set_user_attr("colour 'x'", "green")
        trial.set_user_attr(REPORTED_MS, [1_700_000_000_000, 1_700_000_001_000])
        trial.report(x, 0)
        if kind == 1:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif kind == 2:
            trial.set_user_attr(ERROR, "RuntimeError: " + "boom " * 3000)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            trial.report(math.nan if kind == 3 else x + bool(y), 1)
            study.tell(trial, -math.inf if kind == 4 else x * x)
    return study


def children(place):
    """The active child runs in the experiment, by trial."""
    runs = place.client.search_runs([place.experiment_id], max_results=5000)
    found = [run for run in runs if TRIAL in run.data.tags]
    return sorted(found, key=lambda run: int(run.data.tags[TRIAL]))


def contents(place):
    """All that the child runs say, without their identities."""
    return [
        (
            run.info.run_name,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            run.data.params,
            run.data.tags,
            {key: history(place, run, key) for key in run.data.metrics},
        )
        for run in children(place)
    ]


def history(place, run, key):
    points = place.client.get_metric_history(run.info.run_id, key)
    return sorted((p.step, p.value, p.timestamp) for p in points)


def open_place(study, client, experiment):
    """A place under a new parent run."""
    from mlflow_ext.tuning.mirror import open_study_run

    return open_study_run(client, client.create_run(experiment), study, METRIC)


def stall(*_, **__):
    print("READY", flush=True)
    time.sleep(600)


def stall_at(moment):
    """Let this process stop for good at a moment of its mirroring."""
    from mlflow.store.tracking.rest_store import RestStore

    from mlflow_ext.tracking import bulk, writer

    if moment == "before the first batch":
        writer.DatabaseWriter.write = stall
    elif moment == "inside a transaction":
        bulk._changed_tags = stall
    elif moment == "after a batch":
        write = writer.DatabaseWriter.write
        writer.DatabaseWriter.write = lambda *given: (write(*given), stall())
    elif moment == "between two calls":
        RestStore.log_batch = stall


def main(action, folder, uri, experiment, moment=""):
    import mlflow

    from mlflow_ext.tuning.mirror import following, sync

    place = open_place(open_told(folder), mlflow.MlflowClient(uri), experiment)
    if action == "sync":
        print("READY", flush=True)
        input()
        sync(place, open_told(folder))
        return
    stall_at(moment)
    with following(place, open_told(folder), str(folder)):
        study = open_told(folder)
        for _ in range(N_TRIALS):
            tell_trials(study, 1)
            time.sleep(0.08)
        if moment == "at the end of the search":
            stall()


if __name__ == "__main__":
    main(*sys.argv[1:])
