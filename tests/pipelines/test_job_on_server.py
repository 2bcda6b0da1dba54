"""The same job against a tracking server, which also keeps the artifacts."""

import mlflow
import pytest
from small_project import make_project

from pipelines.main import run

pytestmark = pytest.mark.slow

OPTIONS = {"through": "2013-04", "reuse": True, "n_trials": None, "timeout": None, "study": ""}


def test_job_runs_and_is_reused_on_a_server(tracking, server, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(make_project(folder))
    mlflow.set_tracking_uri(server)
    mlflow.set_registry_uri(server)
    mlflow.set_experiment("flights")

    assert run("promote", OPTIONS) == 1  # a few hundred flights do not reach the KPIs
    assert "Staging: gate metrics: failed" in capsys.readouterr().err
    assert run("promote", OPTIONS) == 1

    said = capsys.readouterr()
    assert said.err.count(" reused ") == 7
    assert f"Look at it: {server}" in said.out
    version = mlflow.MlflowClient().get_model_version("flight-delay", "1")
    assert version.tags["gate.data"] == "passed"
    assert not (folder / "mlruns").exists()
