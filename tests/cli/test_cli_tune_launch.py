"""`mlflow-ext tune run` and `resume`: what they keep, find, and leave when interrupted."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import mlflow
import psutil
import pytest
import yaml
from optuna.trial import TrialState
from servers import OUR_SCRIPT, ROOT, free_port

from mlflow_ext.cli import run
from mlflow_ext.project import Choices
from mlflow_ext.tuning.attributes import ATTEMPT, RETRY_OF, TRIAL
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.study import run_study

TUNING = Path(__file__).resolve().parents[1] / "tuning"
sys.path.append(str(TUNING))
tiny_study = import_module("tiny_study")
SEARCH = tiny_study.SEARCH
NAME = "bob's study"

JOB = f"""
import sys
import time
sys.path.insert(0, {str(TUNING)!r})
sys.path.insert(0, {str(ROOT)!r})
import mlflow
from pathlib import Path
from tiny_study import *

told = dict(word.split("=", 1) for word in sys.argv[1:])


def make(params):
    if told["mood"] == "ill":
        raise ValueError("boom at once")
    if told["mood"] == "slow":
        Path("begun").touch()
        time.sleep(0.2)
    return make_tiny(params)


changes = {{name: told[name] for name in ("sampler", "pruner", "storage") if told[name]}}
search = replace(SEARCH, n_trials=int(float(told["n_trials"])), **changes)
task = make_task(Path(".mlflow_ext/studies"), search, make, name=told["study"] or "unnamed")
if __name__ == "__main__":
    with mlflow.start_run():
        tune(task)
"""
NAMES = ("study", "n_trials", "sampler", "pruner", "mood", "storage")
PROJECT = {
    "name": "tiny",
    "entry_points": {
        "tune": {
            "parameters": {name: {"type": "string", "default": ""} for name in NAMES}
            | {
                "n_trials": {"type": "float", "default": 3},
                "sampler": {"type": "string", "default": "random"},
            },
            "command": "python job.py " + " ".join(f"{name}={{{name}}}" for name in NAMES),
        }
    },
}


@pytest.fixture
def project(tracking, tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "MLproject").write_text(yaml.safe_dump(PROJECT))
    return tracking


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the commands look for studies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".mlflow_ext" / "studies"


def read(capsys):
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


# --- what is kept ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_is_resumed_as_it_was_begun(project, capfd):
    words = ["--sampler", "tpe", "--pruner", "median", "-P", "mood=well", "--format", "json"]
    assert run(["tune", "run", "--study", "s 1", *words]) == 0
    assert read(capfd)[0]["trials"] == {"complete": 3}

    assert run(["tune", "resume", "s 1", "--n-trials", "5", "--format", "json"]) == 0
    again, said = read(capfd)
    assert sum(again["trials"].values()) == 5, said
    params = project.get_run(again["run"]).data.params
    told = {name: params[name] for name in ("sampler", "pruner", "mood", "n_trials")}
    assert told == {"sampler": "tpe", "pruner": "median", "mood": "well", "n_trials": "5"}

    runs = len(mlflow.search_runs())
    assert run(["tune", "resume", "s 1", "--format", "json"]) == 1
    assert read(capfd)[0]["finished"] == 5
    assert len(mlflow.search_runs()) == runs


def test_what_a_study_was_begun_with_is_told_also_where_nobody_stated_it(tmp_path):
    from mlflow_ext.errors import SearchError

    open_study(SEARCH, NAME, tmp_path)
    with pytest.raises(SearchError) as error:
        open_study(replace(SEARCH, sampler="random", warm_start="power"), NAME, tmp_path)
    assert "sampler was tpe, is random" in error.value.found
    assert "warm_start was not set, is power" in error.value.found


# --- what is missing ------------------------------------------------------------------------------


def test_trials_that_are_to_be_repeated_are_not_done(folder, capsys):
    study = open_study(SEARCH, NAME, folder)
    for number in range(3):
        study.enqueue_trial({}, user_attrs={RETRY_OF: number - 1, ATTEMPT: 2} if number else {})
        study.tell(study.ask(), state=TrialState.FAIL)
    study.enqueue_trial({}, user_attrs={RETRY_OF: 2, ATTEMPT: 2})
    study.ask()

    assert run(["tune", "resume", NAME, "--n-trials", "1"]) == 2, "there is no project"
    assert "holds no MLproject" in capsys.readouterr().err
    study.tell(3, 0.5)
    assert run(["tune", "resume", NAME, "--n-trials", "1", "--format", "json"]) == 1
    assert read(capsys)[0]["finished"] == 1


def test_the_command_that_is_offered_can_be_pasted_into_a_shell(folder, capsys):
    place = str(folder / "with a space")
    study = open_study(SEARCH, NAME, folder / "with a space")
    study.tell(study.ask(), 0.5)
    words = ["tune", "resume", NAME, "--studies", place, "--n-trials", "1", "--format", "json"]
    assert run(words) == 1
    fix = shlex.split(read(capsys)[0]["fix"])
    expected = ["tune", "resume", NAME, "--studies", place, "--n-trials", "11"]
    assert fix == ["mlflow-ext", *expected]


# --- where it is ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_in_the_database_of_the_project_is_found(project, tmp_path, capfd):
    values = yaml.safe_load((ROOT / "project.yaml").read_text())
    storage = values["search"]["storage"] = "sqlite:///studies.db"
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    words = ["tune", "run", "-P", "mood=ill", "-P", f"storage={storage}", "--format", "json"]
    assert run(words) == 1
    found, _ = read(capfd)

    assert (found["study"], found["trials"]) == ("unnamed", {"fail": 3})
    assert found["first_error"] == "ValueError: boom at once"
    assert run(["tune", "list", "--format", "json"]) == 0
    assert [one["study"] for one in read(capfd)[0]["studies"]] == ["unnamed"]


def test_a_password_in_the_project_is_not_shown(tracking, tmp_path, capsys):
    values = yaml.safe_load((ROOT / "project.yaml").read_text())
    values["search"]["storage"] = "postgresql://me:secret@127.0.0.1:9/none"
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    for words in (["list"], ["show", NAME]):
        assert run(["tune", *words]) == 2
        said = capsys.readouterr().err
        assert "me:***@127.0.0.1:9" in said
        assert "secret" not in said


def test_a_broken_project_file_keeps_nobody_from_reading_studies(folder, capsys):
    open_study(SEARCH, NAME, folder)
    Path("project.yaml").write_text("search: [")
    assert run(["tune", "list", "--format", "json"]) == 0
    assert [one["study"] for one in read(capsys)[0]["studies"]] == [NAME]


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_tracking_server_that_does_not_answer_is_told_at_once(
    project, folder, capsys, command, monkeypatch
):
    url = f"http://127.0.0.1:{free_port()}"
    open_study(SEARCH, NAME, folder)
    words = {"run": ["--study", NAME], "resume": [NAME]}[command]
    before = mlflow.get_tracking_uri()
    try:
        assert run(["tune", command, *words, "--tracking-uri", url]) == 2
    finally:
        mlflow.set_tracking_uri(before)
    said = capsys.readouterr().err
    assert url in said
    assert "mlflow-ext doctor" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "words", [["run", "--study", "\udcff"], ["resume", "\udcff"], ["show", "\udcff"]]
)
def test_a_name_that_is_no_text_is_refused_in_words(project, folder, capsys, words):
    open_study(SEARCH, NAME, folder)
    assert run(["tune", *words]) == 2
    said = capsys.readouterr().err
    assert r"'\udcff', holds half a character" in said
    assert "Traceback" not in said
    assert mlflow.search_runs().empty


# --- JSON -----------------------------------------------------------------------------------------


def test_documents_are_json_whatever_a_study_holds(folder, capsys):
    space = {"c": Choices(type="categorical", choices=(math.inf, -math.inf))}
    search = replace(SEARCH, space=space, n_trials=2, pruner="none")

    def objective(trial):
        trial.set_user_attr("odd", [math.nan, {"x": math.inf}])
        return math.inf if trial.number else 0.5

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    run_study(search, objective, name=NAME, storage_dir=folder)
    for command in ("show", "best", "export"):
        assert run(["tune", command, NAME, "--format", "json"]) == 0
        text = capsys.readouterr().out
        assert "inf" in str(json.loads(text, parse_constant=refuse))


# --- interruption ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("to", ["SIGTERM to the command", "SIGINT to its group"])
def test_an_interrupted_search_ends_with_all_its_processes(project, tmp_path, to):
    command = [OUR_SCRIPT, "tune", "run", "--study", "long", "--n-trials", "500", "-P", "mood=slow"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
        if "group" in to:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=120)

    assert family
    assert [one for one in family if one.is_running()] == []
    assert (process.returncode, out) == (2, "")
    assert said.rstrip().endswith("aborted")
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert runs
    assert "RUNNING" not in {one.info.status for one in runs}
    numbers = [int(one.data.tags[TRIAL]) for one in runs if TRIAL in one.data.tags]
    assert sorted(numbers) == list(range(len(numbers)))
