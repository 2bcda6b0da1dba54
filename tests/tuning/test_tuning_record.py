"""What a study leaves on its run, and that the last word replaces the first."""

import json
import re
from dataclasses import replace
from pathlib import Path

import mlflow
import optuna
import pytest
from tiny_study import NAME, SEARCH, make_task

from mlflow_ext.cli import run as run_command
from mlflow_ext.project import Rescore
from mlflow_ext.tuning import tune
from mlflow_ext.tuning.attributes import RUN, STUDY_ID
from mlflow_ext.tuning.catalog import find_study
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.record import LEADERBOARD, RESCORED
from mlflow_ext.tuning.rescored import keep_rescored, read_rescored

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


@pytest.mark.parametrize("metric", ["bob's [auc]", "précision@0.5 é", "m" * 240])
def test_no_name_of_a_metric_or_a_study_costs_the_record(tracking, tmp_path, metric):
    search = replace(SEARCH, n_trials=3, metric=metric)
    task = make_task(tmp_path / "studies", search, name="n" * 7000)
    score = task.score
    with mlflow.start_run() as run:
        result = tune(replace(task, score=lambda _, *given: score("roc_auc", *given)))
    data = tracking.get_run(run.info.run_id).data

    best = [v for key, v in data.metrics.items() if key.startswith("study.best_")]
    assert sorted(best) == sorted([result.best_value, result.best_trial])
    assert data.params["study.name"].startswith("nnn")
    assert "report.html" in names_of(tracking, run.info.run_id)


def test_what_fresh_rows_chose_is_what_everybody_is_told(tracking, tmp_path, capsys):
    folder = tmp_path / "studies"
    task = make_task(folder, replace(SEARCH, n_trials=10, pruner="none"))
    x, y = task.tables.validation_x, task.tables.validation_y
    contrary = replace(task.tables, validation_x=x[::2], validation_y=1 - y[::2])
    with mlflow.start_run() as run:
        result = tune(replace(task, fresh=contrary, is_quiet=True))
    winner = result.rescored.winner
    assert winner.trial != result.best_trial

    tags = tracking.get_run(run.info.run_id).data.tags
    assert json.loads(tags["mlflow_ext.study.best_params"]) == winner.params
    file = tracking.download_artifacts(run.info.run_id, "study/summary.json")
    summary = json.loads(Path(file).read_text())
    assert (summary["best_trial"], summary["best_params"]) == (winner.trial, winner.params)
    assert summary["best_value"] == winner.fresh_value
    assert summary["rescored"]["trials"][0]["trial"] == result.best_trial

    study = find_study(str(folder), NAME)
    assert read_rescored(study) == result.rescored
    told = {
        "trial": winner.trial,
        "metric": "roc_auc",
        "fresh_value": winner.fresh_value,
        "interval": list(winner.interval),
        "level": result.rescored.level,
        "fresh_rows": len(y[::2]),
        "search_value": winner.search_value,
        "optimism": result.rescored.optimism,
        "params": winner.params,
    }
    capsys.readouterr()
    for command in ("best", "show"):
        assert tell(command, folder, capsys)["winner"] == told
    rows = tell("best", folder, capsys, "--top", "3")["trials"]
    assert [row["trial"] for row in rows[:2]] == [winner.trial, result.best_trial]
    assert rows[0]["params"] == winner.params


def test_a_winner_is_none_any_more_when_trials_have_been_added(tracking, tmp_path, capsys):
    folder = tmp_path / "studies"
    task = replace(make_task(folder, replace(SEARCH, n_trials=5)), is_quiet=True)
    x, y = task.tables.validation_x[::2], task.tables.validation_y[::2]
    fresh = replace(task.tables, validation_x=x, validation_y=y)
    with mlflow.start_run():
        tune(replace(task, fresh=fresh))
        study = open_study(task.search, NAME, folder)
        study.add_trial(study.trials[0])
        assert tell("best", folder, capsys)["winner"] == {}
        tune(replace(task, fresh=fresh))
        assert tell("best", folder, capsys)["winner"] != {}
        tune(task)
        assert tell("best", folder, capsys)["winner"] == {}, "nothing was scored again"


def test_what_an_earlier_end_has_found_goes_before_what_a_later_one_has(tracking, tmp_path):
    """Of two machines, the one that scores again for longer may know fewer trials."""
    task = make_task(tmp_path, replace(SEARCH, n_trials=3))
    x, y = task.tables.validation_x[::2], task.tables.validation_y[::2]
    fresh = replace(task.tables, validation_x=x, validation_y=y)
    with mlflow.start_run():
        found = tune(replace(task, fresh=fresh, is_quiet=True)).rescored
    study = open_study(task.search, NAME, tmp_path)
    keep_rescored(study, None, of_trials=2)
    assert read_rescored(study) == found
    keep_rescored(study, None, of_trials=3)
    assert read_rescored(study) is None


def tell(command, folder, capsys, *more):
    words = ["tune", command, NAME, "--studies", str(folder), "--format", "json", *more]
    assert run_command(words) == 0
    return json.loads(capsys.readouterr().out)
