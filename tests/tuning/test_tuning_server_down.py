"""A server that dies costs a search one line; what is missing in MLflow can be made later."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import left_study
import mlflow
import pytest
from servers import Server, free_port
from tiny_study import NAME, SEARCH, make_task

from mlflow_ext.cli import run
from mlflow_ext.errors import NoTrialCompletedError
from mlflow_ext.tuning import tune
from mlflow_ext.tuning.attributes import TRIAL
from mlflow_ext.tuning.journal import open_study

FILES = ["leaderboard.json", "plots", "plots.html", "report.html", "summary.json"]


@pytest.fixture(scope="module")
def server(empty_store, tmp_path_factory):
    """A plain server that a test may end; it has to launch it again."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "mlflow.db")
    options = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db")
    files = ("--artifacts-destination", str(folder / "artifacts"))
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = Server(folder, free_port(), *options, *files, **quiet)
    rise(server)
    yield server
    server.end()


def rise(server):
    server.launch()
    server.wait_until_healthy()


@contextmanager
def waiting_study(folder, uri, kind="well"):
    """Run left_study.py until it waits in its third fit."""
    command = [sys.executable, left_study.__file__, str(folder), "3", kind]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"MLFLOW_TRACKING_URI": uri},
    ) as process:
        assert process.stdout.readline().strip() == "READY"
        yield process


def sync(folder, uri, capsys):
    words = ["tune", "sync", NAME, "--studies", str(folder), "--tracking-uri", uri]
    assert run([*words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def files_of(client, run_id):
    return [file.path.partition("/")[2] for file in client.list_artifacts(run_id, "study")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "ending"),
    [("well", ("best", "FINISHED")), ("ill", ("NoTrialCompletedError", "FAILED"))],
)
def test_a_study_whose_server_dies_has_its_result_and_sync_brings_all_of_it(
    server, tmp_path, capsys, kind, ending
):
    answer, status = ending
    studies = tmp_path / "studies"
    with waiting_study(studies, server.url, kind) as process:
        server.end()
        # MLflow's own patience would be eight minutes.
        said, warned = process.communicate("\n", timeout=150)
    assert said.startswith(answer)
    assert warned.count("not in MLflow yet") == 1
    assert f"tune sync 'bob'\"'\"'s study' --studies {studies}" in warned

    rise(server)
    first, second = (sync(studies, server.url, capsys) for _ in range(2))
    client = mlflow.MlflowClient(server.url)
    parent = client.get_run(first["run"])
    below = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    children = client.search_runs([parent.info.experiment_id], below)
    assert (first["has_record"], first["ended"]) == (True, [parent.info.run_id])
    assert second == {**first, "changed": 0, "ended": []}
    assert parent.info.status == status
    assert len(children) == 8
    assert {child.info.status for child in children}.isdisjoint({"RUNNING"})
    if kind == "ill":
        assert files_of(client, parent.info.run_id) == ["leaderboard.json", "report.html"]
        return
    assert parent.data.metrics["study.n_trials"] == 8
    assert parent.data.metrics["study.best_roc_auc"] == float(said.split()[1])
    assert parent.data.params["study.name"] == NAME
    assert files_of(client, parent.info.run_id) == FILES


@pytest.fixture
def no_files(tracking, tmp_path):
    """An experiment whose folder of artifacts is a file, until the test removes it."""
    (tmp_path / "artifacts").write_text("in the way")
    mlflow.set_experiment(
        experiment_id=tracking.create_experiment("no files", f"file:{tmp_path}/artifacts")
    )
    return tmp_path / "artifacts"


def broken(_):
    raise ValueError("never works")


def test_files_that_cannot_be_stored_cost_no_result(tracking, no_files, tmp_path, caplog, capsys):
    task = replace(make_task(tmp_path, replace(SEARCH, n_trials=4)), is_quiet=True)
    with mlflow.start_run() as parent:
        assert tune(task).n_complete > 0
    with mlflow.start_run(), pytest.raises(NoTrialCompletedError):
        tune(replace(task, name="ill", make_model=broken))
    record, _ = [one for one in caplog.records if one.name.startswith("mlflow_ext")]
    assert record.getMessage().startswith("the record of study 'bob's study' is not in MLflow yet")

    no_files.unlink()
    found = sync(tmp_path, mlflow.get_tracking_uri(), capsys)
    assert found["has_record"]
    assert "report.html" in files_of(tracking, parent.info.run_id)


def test_a_record_that_is_complete_is_not_written_again(tracking, tmp_path, capsys):
    task = replace(make_task(tmp_path, replace(SEARCH, n_trials=4)), is_quiet=True)
    with mlflow.start_run() as parent:
        tune(task)
    shutil.rmtree(tracking.get_run(parent.info.run_id).info.artifact_uri.removeprefix("file://"))
    assert sync(tmp_path, mlflow.get_tracking_uri(), capsys)["has_record"]
    assert files_of(tracking, parent.info.run_id) == []

    study = open_study(task.search, NAME, tmp_path)
    study.add_trial(study.trials[0])
    assert sync(tmp_path, mlflow.get_tracking_uri(), capsys)["has_record"]
    assert files_of(tracking, parent.info.run_id) == FILES


# --- runs that nobody is left to end --------------------------------------------------------------


def parents(client):
    (experiment,) = [e for e in client.search_experiments() if e.name == "left"]
    runs = client.search_runs([experiment.experiment_id])
    return {r.info.run_id: r.info.status for r in runs if TRIAL not in r.data.tags}


@pytest.mark.slow
def test_the_runs_of_killed_calls_are_ended_by_the_next_call_and_by_sync(
    tracking, tmp_path, capsys
):
    uri = mlflow.get_tracking_uri()
    for _ in range(2):
        with waiting_study(tmp_path, uri) as process:
            process.kill()
    assert Counter(parents(tracking).values()) == {"RUNNING": 1, "KILLED": 1}

    with waiting_study(tmp_path, uri) as process:
        found = sync(tmp_path, uri, capsys)
        assert (found["ended"], found["has_record"]) == ([], False), "somebody works there"
        process.kill()
    (running,) = [key for key, status in parents(tracking).items() if status == "RUNNING"]
    found = sync(tmp_path, uri, capsys)
    assert found == {**found, "run": running, "ended": [running], "has_record": True}
    assert Counter(parents(tracking).values()) == {"KILLED": 3}
    assert "its process died" in tracking.get_run(running).data.tags["mlflow_ext.ended"]


def test_the_run_of_a_process_that_lives_is_left_to_it(tracking, tmp_path, capsys):
    task = replace(make_task(tmp_path, replace(SEARCH, n_trials=3)), is_quiet=True)
    with mlflow.start_run() as outer:
        tune(task)
        with mlflow.start_run(nested=True):
            tune(replace(task, search=replace(task.search, n_trials=4)))
        sync(tmp_path, mlflow.get_tracking_uri(), capsys)
        assert tracking.get_run(outer.info.run_id).info.status == "RUNNING"
