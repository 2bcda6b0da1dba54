"""The run context provider inside real MLflow runs, and the check that it is registered at all."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

import mlflow_ext
from mlflow_ext.plugins.run_context import ProvenanceRunContext

AS_ERROR = "error:Failure attempting to register"
IMPORT_MLFLOW = [sys.executable, "-W", AS_ERROR, "-c", "import mlflow"]
ALWAYS_KNOWN = {"version", "command", "host", "python"}


def test_every_run_carries_its_provenance_and_so_does_every_child(tracking):
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        pass
    for run in (parent, child):
        tags = tracking.get_run(run.info.run_id).data.tags
        assert {f"mlflow_ext.{name}" for name in ALWAYS_KNOWN} <= set(tags)
        assert tags["mlflow_ext.version"] == mlflow_ext.__version__


def test_a_commit_between_two_runs_of_one_process_shows(tracking, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    (tmp_path / ".gitignore").write_text("mlflow.db\nmlruns/\n")
    git("init", "--quiet", "--initial-branch=trunk")
    git("add", ".gitignore")
    git("commit", "--quiet", "--message=first")
    seen = []
    for _ in range(2):
        with mlflow.start_run() as run:
            pass
        seen.append(tracking.get_run(run.info.run_id).data.tags)
        git("commit", "--quiet", "--allow-empty", "--message=next")
    assert seen[0]["mlflow_ext.commit"] != seen[1]["mlflow_ext.commit"]
    assert [tags["mlflow_ext.branch"] for tags in seen] == ["trunk", "trunk"]
    assert [tags["mlflow_ext.dirty"] for tags in seen] == ["false", "false"]


def test_a_tag_that_the_caller_sets_wins(tracking):
    with mlflow.start_run(tags={"mlflow_ext.branch": "mine"}) as run:
        pass
    assert tracking.get_run(run.info.run_id).data.tags["mlflow_ext.branch"] == "mine"


def test_the_provider_is_always_in_context():
    assert ProvenanceRunContext().in_context() is True


@pytest.mark.slow
def test_import_mlflow_registers_every_plugin_without_a_warning():
    answer = subprocess.run(IMPORT_MLFLOW, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.slow
def test_that_check_fails_on_a_broken_plugin(tmp_path):
    site = install_broken_plugin(tmp_path)
    answer = subprocess.run(
        IMPORT_MLFLOW,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert 'Failure attempting to register context provider "broken"' in answer.stderr


def install_broken_plugin(site: Path) -> Path:
    """Lay out an installed distribution that makes the classic mistake: it imports mlflow."""
    (site / "broken_plugin.py").write_text("from mlflow import start_run, NoSuchName\n")
    info = site / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mlflow.run_context_provider]\nbroken = broken_plugin:Provider\n"
    )
    return site
