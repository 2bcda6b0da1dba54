"""What a study leaves on its run, and that the last word replaces the first."""

import json
import re
from dataclasses import replace

import mlflow
import optuna
import pytest
from tiny_study import NAME, SEARCH, make_task

from mlflow_ext.project import Rescore
from mlflow_ext.tuning import tune
from mlflow_ext.tuning.attributes import RUN, STUDY_ID
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.record import LEADERBOARD, RESCORED

FILES = ["leaderboard.json", "plots", "plots.html", "report.html", "summary.json"]


@pytest.fixture
def tuned(tracking, tmp_path):
    search = replace(SEARCH, n_trials=12)
    with mlflow.start_run() as run:
        result = tune(make_task(tmp_path / "studies", search))
    return tracking, run.info.run_id, result


def names_of(client, run_id):
    return [file.path.partition("/")[2] for file in client.list_artifacts(run_id, "study")]


def test_the_run_of_the_study_carries_leaderboard_and_summary(tuned, tmp_path):
    client, run_id, result = tuned
    table = mlflow.load_table(LEADERBOARD, run_ids=[run_id])

    assert len(table) == 12
    assert table["trial"][0] == result.best_trial
    assert table["value"][0] == result.best_value
    assert {"trial", "state", "value", "seconds", *SEARCH.space} <= set(table.columns)
    complete = table[table["state"] == "COMPLETE"]
    assert complete["value"].is_monotonic_decreasing
    assert complete.index.tolist() == list(range(len(complete)))

    data = client.get_run(run_id).data
    assert data.params["study.name"] == NAME
    assert (data.params["study.seed"], data.params["study.sampler"]) == ("3", "tpe")
    assert data.metrics["study.best_roc_auc"] == result.best_value
    assert data.metrics["study.n_complete"] == result.n_complete
    assert json.loads(data.tags["mlflow_ext.study.best_params"]) == result.best_params
    assert f"optuna {optuna.__version__}" in data.tags["mlflow_ext.study.versions"]
    assert re.fullmatch("[0-9a-f]{64}", data.tags["mlflow_ext.study.journal_sha256"])
    assert re.fullmatch("[0-9a-f]{32}", data.tags[STUDY_ID])
    assert names_of(client, run_id) == FILES
    assert "study.optimism" not in data.metrics

    task = make_task(tmp_path / "studies")
    assert open_study(task.search, task.name, task.storage_dir).user_attrs[RUN] == run_id


def test_going_on_with_a_study_replaces_its_summary(tuned, tmp_path):
    client, run_id, _ = tuned
    client.log_table(run_id, {"other": [1]}, "other.json")
    with mlflow.start_run(run_id=run_id):
        tune(make_task(tmp_path / "studies", replace(SEARCH, n_trials=15)))

    assert len(mlflow.load_table(LEADERBOARD, run_ids=[run_id])) == 15
    assert len(mlflow.load_table("other.json", run_ids=[run_id])) == 1
    assert client.get_run(run_id).data.metrics["study.n_trials"] == 15


def test_fresh_rows_bring_the_figure_that_is_promised(tracking, tmp_path, capsys):
    task = make_task(tmp_path / "studies", replace(SEARCH, n_trials=12))
    x, y = task.tables.validation_x[::2], task.tables.validation_y[::2]
    fresh = replace(task.tables, validation_x=x, validation_y=y)
    with mlflow.start_run() as run:
        result = tune(replace(task, fresh=fresh, is_quiet=True))
    winner, data = result.rescored.winner, tracking.get_run(run.info.run_id).data

    assert data.metrics["study.fresh_roc_auc"] == winner.fresh_value
    ends = [data.metrics[f"study.fresh_roc_auc.{end}"] for end in ("low", "high")]
    assert ends == list(winner.interval)
    assert data.metrics["study.optimism"] == result.rescored.optimism
    table = mlflow.load_table(RESCORED, run_ids=[run.info.run_id])
    assert table["trial"].tolist() == [trial.trial for trial in result.rescored.trials]
    assert table["trial"][table["is_winner"]].tolist() == [winner.trial]
    assert names_of(tracking, run.info.run_id) == sorted([*FILES, "rescored.json"])
    assert "trials/s" not in capsys.readouterr().err


def test_the_search_says_how_many_trials_are_scored_again(tracking, tmp_path):
    task = make_task(tmp_path / "studies", replace(SEARCH, n_trials=6))
    x, y = task.tables.validation_x[::2], task.tables.validation_y[::2]
    fresh = replace(task.tables, validation_x=x, validation_y=y)
    with mlflow.start_run():
        for top in (2, 3):  # of one study: it is not another search
            search = replace(task.search, rescore=Rescore(top=top, refits=1))
            result = tune(replace(task, search=search, fresh=fresh, is_quiet=True))
            assert len(result.rescored.trials) == top
    assert result.n_complete + result.n_pruned == 6
