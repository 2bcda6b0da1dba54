"""`mlflow-ext tune`: searches as runs of a project, and studies read without any server."""

import csv
import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import mlflow
import pytest
from optuna.trial import TrialState

from mlflow_ext.cli import run
from mlflow_ext.tuning.attributes import ERROR, RUN, TRIAL
from mlflow_ext.tuning.journal import journal_file, open_study
from mlflow_ext.tuning.objective import Objective
from mlflow_ext.tuning.study import run_study

# Test folders are no packages: pytest itself puts each of them on the path in the same way.
TUNING = Path(__file__).resolve().parents[1] / "tuning"
sys.path.append(str(TUNING))
tiny_study = import_module("tiny_study")
SEARCH = tiny_study.SEARCH

NAME = "bob's study"


def read(capsys):
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def fill(folder, name=NAME, n_trials=8):
    search = replace(SEARCH, n_trials=n_trials)
    task = tiny_study.make_task(folder, search)
    objective = Objective(
        search=search, make_model=task.make_model, tables=task.tables, score=task.score
    )
    return run_study(search, objective, name=name, storage_dir=folder)


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """A folder with one study of eight trials, where the commands look for it."""
    folder = tmp_path / ".mlflow_ext" / "studies"
    monkeypatch.chdir(tmp_path)
    result = fill(folder)
    return folder, result


# --- reading --------------------------------------------------------------------------------------


def test_list_shows_every_study(studies, capsys):
    _, result = studies
    assert run(["tune", "list", "--format", "json"]) == 0
    (found,) = read(capsys)[0]["studies"]

    assert found["study"] == NAME
    assert found["trials"] == {"complete": result.n_complete, "pruned": result.n_pruned}
    assert found["best"] == {"roc_auc": result.best_value}
    assert run(["tune", "list"]) == 0
    assert NAME in capsys.readouterr().out


def test_list_answers_no_where_there_is_none(tmp_path, capsys):
    assert run(["tune", "list", "--studies", str(tmp_path), "--format", "json"]) == 1
    assert read(capsys)[0]["studies"] == []


def test_show_says_what_was_searched_and_what_mattered(studies, capsys):
    folder, result = studies
    study = open_study(replace(SEARCH, n_trials=8), NAME, folder)
    trial = study.ask()
    trial.set_user_attr(ERROR, "ValueError: boom")
    study.tell(trial, state=TrialState.FAIL)
    assert run(["tune", "show", NAME, "--importances", "--format", "json"]) == 0
    found, _ = read(capsys)

    assert found["definition"]["metric"] == "roc_auc"
    assert "n_trials" not in found["definition"], "a study may go on with more of them"
    assert found["best_params"] == result.best_params
    assert found["importances"].keys() == SEARCH.space.keys()
    assert found["failures"] == [{"trials": 1, "cause": "ValueError: boom"}]


def test_show_answers_no_when_nothing_has_completed(tmp_path, capsys):
    open_study(SEARCH, "empty", tmp_path)
    words = ["tune", "show", "empty", "--studies", str(tmp_path), "--format", "json"]
    assert run(words) == 1
    assert read(capsys)[0]["best"] == {}
    assert run([*words, "--importances"]) == 1
    assert "two completed trials" in read(capsys)[0]["importances"]


def test_best_shows_as_many_as_asked_for(studies, capsys):
    _, result = studies
    assert run(["tune", "best", NAME, "--top", "3", "--format", "json"]) == 0
    rows = read(capsys)[0]["trials"]

    assert len(rows) == 3
    assert (rows[0]["trial"], rows[0]["params"]) == (result.best_trial, result.best_params)
    values = [row["roc_auc"] for row in rows]
    assert values == sorted(values, reverse=True)


def test_export_writes_every_trial_as_a_table_or_in_full(studies, tmp_path, capsys):
    _, result = studies
    assert run(["tune", "export", NAME]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    file = tmp_path / "trials.json"
    assert run(["tune", "export", NAME, "--format", "json", "--output", str(file)]) == 0
    trials = json.loads(file.read_text(encoding="utf-8"))["trials"]

    assert len(rows) == len(trials) == 8
    assert int(rows[0]["trial"]) == result.best_trial
    assert float(rows[0]["value"]) == result.best_value
    assert trials[result.best_trial]["params"] == result.best_params
    assert [trial["trial"] for trial in trials] == list(range(8))


@pytest.mark.parametrize("command", ["show", "best", "export", "resume", "sync"])
def test_an_unknown_study_is_told_with_the_nearest_name(studies, command, capsys):
    assert run(["tune", command, "bobs study"]) == 2
    assert f"write '{NAME}' instead of 'bobs study'" in capsys.readouterr().err


def test_a_damaged_journal_is_an_error_without_a_traceback(studies, capsys):
    folder, _ = studies
    journal_file(NAME, folder).write_text("nonsense\nmore\n")
    assert run(["tune", "show", NAME]) == 2
    assert "is damaged" in (said := capsys.readouterr().err)
    assert "Traceback" not in said

    assert run(["tune", "list", "--format", "json"]) == 0
    assert "is damaged" in read(capsys)[0]["studies"][0]["problem"]


def test_reading_does_without_mlflow(studies):
    lines = [["list"], ["show", NAME], ["best", NAME], ["export", NAME]]
    code = f"""
import sys
from mlflow_ext.cli import run
codes = [run(["tune", *line]) for line in {lines!r}]
heavy = {{"mlflow", "great_expectations", "matplotlib", "plotly", "sklearn", "pandas"}}
print(codes, sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == f"{[0] * 4} []"


# --- MLflow ---------------------------------------------------------------------------------------


def children(client, study_run):
    runs = client.search_runs(
        [client.get_run(study_run).info.experiment_id], f"tags.mlflow.parentRunId = '{study_run}'"
    )
    return sorted(int(run.data.tags[TRIAL]) for run in runs)


def test_sync_brings_the_trials_under_the_run_of_the_study(tracking, tmp_path, capsys):
    folder = tmp_path / ".mlflow_ext" / "studies"
    fill(folder)
    run_id = tracking.create_run("0", run_name="here").info.run_id
    open_study(SEARCH, NAME, folder).set_user_attr(RUN, run_id)

    for changed in (8, 0):
        assert run(["tune", "sync", NAME, "--format", "json"]) == 0
        found, _ = read(capsys)
        assert (found["run"], found["trials"], found["changed"]) == (run_id, 8, changed)
        assert found["has_record"]
        assert children(tracking, run_id) == list(range(8))


def test_sync_begins_a_run_only_where_it_is_told_to(tracking, tmp_path, capsys):
    fill(tmp_path / ".mlflow_ext" / "studies")
    assert run(["tune", "sync", NAME]) == 2
    told = capsys.readouterr().err.partition("fix:")[2].split("\n")[0]
    words = shlex.split(told.replace("--experiment NAME", "--experiment rescued"))
    assert words[:4] == ["mlflow-ext", "tune", "sync", NAME]
    assert Path(words[5]).is_dir()

    assert run([*words[1:], "--format", "json"]) == 0
    found, _ = read(capsys)
    assert children(tracking, found["run"]) == list(range(8))
    experiment = tracking.get_run(found["run"]).info.experiment_id
    assert tracking.get_experiment(experiment).name == "rescued"

    assert run(["tune", "sync", NAME, "--experiment", "rescued", "--format", "json"]) == 0
    assert read(capsys)[0] == {**found, "changed": 0}


def test_sync_without_a_store_says_so(studies, monkeypatch, tmp_path, capsys):
    assert run(["tune", "sync", NAME, "--tracking-uri", f"sqlite:///{tmp_path}/none.db"]) == 2
    assert "there is no such file" in capsys.readouterr().err


# --- running --------------------------------------------------------------------------------------

JOB = f"""
import sys
sys.path.insert(0, {str(TUNING)!r})
sys.path.insert(0, {str(TUNING.parents[1])!r})
import mlflow
from pathlib import Path
from tiny_study import *

name, n_trials, mood = sys.argv[1:]


def break_down(params):
    if mood == "dead":
        raise SystemExit(3)
    raise ValueError("boom at once")


make_model = make_tiny if mood == "well" else break_down
search = replace(SEARCH, n_trials=int(float(n_trials)))
task = make_task(Path(".mlflow_ext/studies"), search, make_model, name=name or "unnamed")
print("what the project prints")
with mlflow.start_run():
    tune(task)
"""
PROJECT = """
name: tiny
entry_points:
  tune:
    parameters:
      n_trials: {type: float, default: 4}
      study: {type: string, default: ""}
      mood: {type: string, default: well}
    command: "python job.py {study} {n_trials} {mood}"
"""


@pytest.fixture
def project(tracking, tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "MLproject").write_text(PROJECT)
    return tracking


@pytest.mark.slow
def test_a_search_runs_as_a_run_of_the_project_and_goes_on(project, capfd):
    assert run(["tune", "run", "--n-trials", "3", "--format", "json"]) == 0
    found, said = read(capfd)
    assert (found["study"], found["trials"]) == ("unnamed", {"complete": 3})
    assert "what the project prints" in said
    assert project.get_run(found["run"]).info.status == "FINISHED"
    assert len(children(project, found["run"])) == 3

    assert run(["tune", "resume", "unnamed", "--n-trials", "3", "--format", "json"]) == 1
    place = str(Path(".mlflow_ext") / "studies")
    fix = f"mlflow-ext tune resume unnamed --studies {place} --n-trials 13"
    assert read(capfd)[0]["fix"] == fix

    assert run(["tune", "resume", "unnamed", "--n-trials", "5", "--format", "json"]) == 0
    again, _ = read(capfd)
    assert sum(again["trials"].values()) == 5
    assert again["run"] != found["run"]
    assert len(children(project, again["run"])) == 5


@pytest.mark.slow
def test_a_search_that_finds_nothing_answers_no_with_the_first_exception(project, capfd):
    words = ["tune", "run", "--study", "sad", "-P", "mood=ill", "--format", "json"]
    assert run(words) == 1
    found, _ = read(capfd)

    assert found["trials"] == {"fail": 4}
    assert found["first_error"] == "ValueError: boom at once"
    assert project.get_run(found["run"]).info.status == "FAILED"


@pytest.mark.slow
def test_a_search_that_breaks_down_has_no_answer(project, capfd):
    assert run(["tune", "run", "--study", "gone", "-P", "mood=dead"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "the run has failed before there was an answer" in captured.err


def test_where_there_is_no_project_nothing_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["tune", "run"]) == 2
    assert "holds no MLproject" in capsys.readouterr().err


def test_a_parameter_without_a_value_is_a_mistake(project, capsys):
    assert run(["tune", "run", "-P", "mood"]) == 2
    assert "expected: NAME=VALUE" in capsys.readouterr().err
    assert mlflow.search_runs().empty
