"""Ctrl-C or SIGTERM in the middle of a job: one line, no verdict, and nothing stays RUNNING."""

import os
import shutil
import signal
import subprocess
import sys
import time

import mlflow
import pytest
from small_project import ROOT, make_project

pytestmark = pytest.mark.slow


def runs():
    return mlflow.search_runs(search_all_experiments=True, output_format="list", max_results=1000)


@pytest.mark.parametrize("signals", [("SIGINT", "SIGTERM"), ("SIGTERM",)])
def test_an_interrupted_job_says_so_and_leaves_nothing_running(tracking, tmp_path, signals):
    make_project(tmp_path)
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    command = [sys.executable, "-m", "pipelines", "tune", "--through", "2013-04"]
    with subprocess.Popen(
        [*command, "--n-trials", "400"],
        cwd=tmp_path,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as job:
        deadline = time.monotonic() + 120
        while len(runs()) < (5 if len(signals) > 1 else 2) and time.monotonic() < deadline:
            time.sleep(0.1)
        for name in signals:
            job.send_signal(getattr(signal, name))
        _, said = job.communicate(timeout=120)

    assert job.returncode == 2, said
    assert "interrupted; the same command goes on where this one has stopped" in said
    assert "Traceback" not in said
    assert runs()
    assert "RUNNING" not in {run.info.status for run in runs()}
