"""kill -9 in the middle of a search: the next run goes on, and nothing stays RUNNING."""

import os
import shutil
import subprocess
import sys
import time

import mlflow
import pytest
from small_project import ROOT, make_project

pytestmark = pytest.mark.slow

TRIALS = 40


def job(folder):
    command = [sys.executable, "-m", "pipelines", "main", "--through", "2013-04"]
    return subprocess.Popen(
        [*command, "--n-trials", str(TRIALS)],
        cwd=folder,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def runs():
    return mlflow.search_runs(search_all_experiments=True, output_format="list", max_results=1000)


def trials():
    return [run for run in runs() if "mlflow_ext.trial" in run.data.tags]


def step_of(run):
    return run.data.tags.get("mlflow_ext.step")


def test_killed_search_goes_on_where_it_stopped(tracking, tmp_path):
    make_project(tmp_path)
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    with job(tmp_path) as first:
        deadline = time.monotonic() + 120
        while len(trials()) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        first.kill()
    before = {run.data.tags["mlflow_ext.trial"] for run in trials()}
    assert 3 <= len(before) < TRIALS
    assert {step_of(run) for run in runs() if run.info.status == "RUNNING"} >= {None, "tune"}

    with job(tmp_path) as second:
        said = second.communicate(timeout=300)[0]

    assert "[1/9] ingest    reused" in said
    assert "[4/9] tune      ran" in said
    assert {run.info.status for run in runs()} <= {"FINISHED", "FAILED", "KILLED"}
    numbers = [run.data.tags["mlflow_ext.trial"] for run in trials()]
    assert len(numbers) == len(set(numbers))
    assert before < set(numbers)
    parents = {run.data.tags["mlflow.parentRunId"] for run in trials()}
    (tune,) = [r for r in runs() if step_of(r) == "tune" and r.info.status == "FINISHED"]
    assert parents == {tune.info.run_id}
    assert tune.data.metrics["study.n_complete"] + tune.data.metrics["study.n_pruned"] == TRIALS
