"""The whole: a study under a run, killed at bad moments, goes on as if nothing had happened."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import tiny_study
from optuna.trial import TrialState
from tiny_study import NAME, SEARCH, essence, make_tables, make_task

from mlflow_ext.errors import NoActiveRunError, SearchError, TableError
from mlflow_ext.project import Aim
from mlflow_ext.tuning import tune
from mlflow_ext.tuning.attributes import TRIAL
from mlflow_ext.tuning.journal import open_study


def trials_of(folder):
    return open_study(make_task(folder).search, NAME, folder).trials


def children():
    runs = mlflow.search_runs(output_format="list")
    return {int(r.data.tags[TRIAL]): r for r in runs if TRIAL in r.data.tags}, runs


def load_study_file(client, name):
    (run,) = [run for run in children()[1] if TRIAL not in run.data.tags]
    return Path(client.download_artifacts(run.info.run_id, f"study/{name}")).read_text()


def kill_when_stalled(folder, where):
    """Start the study in another process and kill it, as kill -9 does, at a known place."""
    command = [sys.executable, tiny_study.__file__, str(folder), "14", where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline().strip()
        process.kill()
    assert said == "READY"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "n_repeated"),
    [("fit:5", 1), ("fit:22", 1)],
    ids=["early fit", "late fit"],
)
def test_a_killed_study_goes_on_and_no_trial_and_no_child_is_lost_doubled_or_left_running(
    tracking, tmp_path, where, n_repeated
):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    kill_when_stalled(killed, where)

    with mlflow.start_run() as parent:
        result = tune(make_task(killed))
    trials, (mirrored, runs) = trials_of(killed), children()

    assert len(trials) == 14 + n_repeated
    assert all(trial.state.is_finished() for trial in trials)
    assert result.n_complete + result.n_pruned == 14
    assert result.n_failed == n_repeated
    assert sorted(mirrored) == [trial.number for trial in trials]
    assert len([run for run in runs if TRIAL in run.data.tags]) == len(trials)
    assert {run.data.tags["mlflow.parentRunId"] for run in mirrored.values()} == {
        parent.info.run_id
    }
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
    for trial in trials:
        run = mirrored[trial.number]
        assert run.info.status == status[trial.state.name]
        assert run.data.params == {key: str(value) for key, value in trial.params.items()}
        assert run.data.metrics["trial"] == trial.number
        is_complete = trial.state is TrialState.COMPLETE
        assert run.data.metrics.get("roc_auc") == (trial.value if is_complete else None)

    with mlflow.start_run():
        tune(make_task(whole))
    assert essence(trials) == essence(trials_of(whole))


def test_a_model_that_fails_for_some_parameters_costs_only_those_trials(tracking, tmp_path):
    def fragile(params):
        if params["kind"] is None:
            raise ValueError("kind is missing")
        return tiny_study.TinyModel(**params)

    with mlflow.start_run():
        result = tune(make_task(tmp_path, make_model=fragile))
    mirrored, _ = children()

    assert result.n_failed > 0
    assert result.best_params["kind"] is not None
    failed = [run for run in mirrored.values() if run.info.status == "FAILED"]
    assert len(failed) == result.n_failed
    assert {run.data.tags["mlflow_ext.reason"] for run in failed} == {"ValueError: kind is missing"}


def test_when_every_trial_fails_the_error_says_why_and_the_children_are_there(tracking, tmp_path):
    def broken(params):
        raise ValueError("never works")

    with mlflow.start_run(), pytest.raises(SearchError, match="ValueError: never works"):
        tune(make_task(tmp_path, replace(SEARCH, n_trials=3), broken))
    mirrored, _ = children()

    assert [mirrored[number].info.status for number in range(3)] == ["FAILED"] * 3
    page, board = (load_study_file(tracking, name) for name in ("report.html", "leaderboard.json"))
    assert "no trial completed" in page and "ValueError: never works" in page
    assert board.count('"FAIL"') == 3


def test_an_error_of_the_suite_in_a_trial_ends_the_study_and_leaves_no_child_running(
    tracking, tmp_path
):
    def wrong(params):
        raise TableError("training", "gone", "rows", "bring it back")

    with mlflow.start_run(), pytest.raises(TableError):
        tune(make_task(tmp_path, make_model=wrong))
    mirrored, _ = children()

    assert [run.info.status for run in mirrored.values()] == ["FAILED"]


def test_bad_input_is_refused_before_a_study_begins(tracking, tmp_path):
    folder = tmp_path / "studies"
    task, tables = make_task(folder), make_tables()
    one_class = replace(tables, train_y=tables.train_y * 0)
    wrong_space = replace(task.search, space={"slop": SEARCH.space["slope"]})
    with mlflow.start_run():
        with pytest.raises(TableError):
            tune(replace(task, tables=one_class))
        with pytest.raises(SearchError, match="'slop'"):
            tune(replace(task, search=wrong_space))
    with pytest.raises(NoActiveRunError, match="no MLflow run is active"):
        tune(task)

    assert not folder.exists()
    assert children()[0] == {}


def test_worker_processes_get_the_rows_and_their_trials_appear(tracking, tmp_path):
    known = {"slope": 1.5, "scale": 0.5, "power": 3, "kind": "line"}
    task = make_task(tmp_path, replace(SEARCH, workers=2, n_trials=8))
    with mlflow.start_run():
        result = tune(replace(task, first=[known]))
    mirrored, _ = children()

    assert sorted(mirrored) == list(range(8))
    assert result.n_complete + result.n_pruned == 8
    assert mirrored[0].data.params == {key: str(value) for key, value in known.items()}
    assert [path.suffix for path in tmp_path.glob("*.rows-*/*")] == [".parquet"] * 2


def test_a_study_of_two_objectives_in_a_database_appears_with_both(tracking, tmp_path):
    aims = (Aim(metric="brier", direction="minimize"),)
    url = f"sqlite:///{tmp_path}/studies.db"
    search = replace(SEARCH, n_trials=6, pruner="none", objectives=aims, storage=url)
    with mlflow.start_run() as parent:
        result = tune(make_task(tmp_path / "none", search))
    mirrored, _ = children()

    assert result.best_trial == result.best_trials[0]
    assert all({"roc_auc", "brier"} <= mirrored[number].data.metrics.keys() for number in range(6))
    assert "study.best_roc_auc" in tracking.get_run(parent.info.run_id).data.metrics
    assert not (tmp_path / "none").exists()


def test_a_study_is_about_one_table(tracking, tmp_path):
    task = make_task(tmp_path / "studies", replace(SEARCH, n_trials=2))
    other_rows = replace(task.tables, train_x=task.tables.train_x + 1)
    with mlflow.start_run():
        tune(task)
        with pytest.raises(SearchError, match="begun on other rows"):
            tune(replace(task, tables=other_rows))
