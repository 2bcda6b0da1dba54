"""`mlflow-ext doctor` on real stores, real programs and really missing ones."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from mlflow_ext.cli import run
from mlflow_ext.lineage.environment import (
    environments,
    packages,
    pinned_versions,
    stores,
    tools,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _activated(monkeypatch):
    """As in an activated environment, and not willing to wait for dead servers."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def doctor(capsys, *arguments):
    code = run(["doctor", "--format", "json", *arguments])
    document = json.loads(capsys.readouterr().out)
    sections = [rows for rows in document.values() if isinstance(rows, list)]
    needs = {need["name"]: need for rows in sections for need in rows}
    return code, document, needs


def test_it_says_ready_where_everything_is_there(tracking, capsys):
    code, document, needs = doctor(capsys)
    assert (code, document["ready"]) == (0, True), needs
    assert needs["mlflow"]["state"] == "ok"
    assert needs["mlflow.run_context_provider: mlflow_ext"]["state"] == "ok"
    assert needs["import mlflow"]["found"] == "no plugin failed"
    assert [needs[name]["state"] for name in ("tracking", "registry", "artifacts")] == ["ok"] * 3


def test_it_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answers = list(stores("sqlite:///mlflow.db", None))
    assert [need.name for need in answers] == ["tracking", "registry"]
    assert all(need.is_met for need in answers)
    assert list(tmp_path.iterdir()) == []


def test_the_artifact_probe_is_deleted_again(tracking, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert [need.name for need in stores(uri, None)] == ["tracking", "registry", "artifacts"]
    assert not list(tmp_path.rglob("*doctor*"))


def test_artifacts_that_cannot_be_written_are_found(tracking, tmp_path):
    folder = Path(tracking.search_experiments(max_results=1)[0].artifact_location)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")
    artifacts = list(stores(f"sqlite:///{tmp_path}/mlflow.db", None))[-1]
    assert (artifacts.name, artifacts.state) == ("artifacts", "missing")
    assert artifacts.fix == f"chmod -R u+w {folder}"


def test_a_dead_server_is_a_no_with_the_command_that_mends_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, document, needs = doctor(capsys, "--tracking-uri", "http://127.0.0.1:9")
    assert (code, document["ready"]) == (1, False)
    assert needs["tracking"]["state"] == needs["registry"]["state"] == "missing"
    assert "MLFLOW_TRACKING_URI" in needs["tracking"]["fix"]


@pytest.mark.slow
def test_a_live_server_answers_for_all_three(server):
    answers = list(stores(server, None))
    assert [(need.name, need.state) for need in answers] == [
        ("tracking", "ok"),
        ("registry", "ok"),
        ("artifacts", "ok"),
    ]


def test_a_database_in_a_folder_that_does_not_exist_is_missing(tmp_path):
    tracking = next(iter(stores(f"sqlite:///{tmp_path}/no/such/mlflow.db", None)))
    assert tracking.state == "missing"
    assert tracking.fix.startswith(f"mkdir -p {tmp_path}/no/such")


def test_passwords_in_a_uri_are_not_shown(tmp_path):
    tracking = next(iter(stores("http://me:hunter2@127.0.0.1:9", None)))
    assert "me:***@127.0.0.1:9" in tracking.found
    assert "hunter2" not in tracking.found


def test_without_conda_it_names_the_flag(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    managers = {need.name: need for need in environments()}
    assert managers["local"].state == "ok"
    assert managers["conda"].state == "absent"
    assert "--env-manager local" in managers["conda"].fix


def test_with_no_environment_manager_at_all_something_required_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {need.state for need in environments()} == {"missing"}


def test_another_python_on_the_path_is_not_taken_for_this_one(monkeypatch, tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    managers = {need.name: need for need in environments()}
    assert (managers["local"].found, managers["local"].state) == (str(other), "absent")
    assert managers["local"].fix.startswith("source ")
    assert managers["uv"].state == "ok"


def test_every_declared_dependency_is_looked_at_and_compared_with_the_tested_version(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "constraints.txt").write_text("# pins\nmlflow==0.0.1\nPyYAML==0.2\n")
    found = {need.name: need for need in packages()}
    assert {"mlflow", "optuna", "great-expectations", "click", "pyyaml"} <= set(found)
    assert "pytest" not in found, "only what the suite itself needs"
    assert found["mlflow"].found.endswith("(tested with 0.0.1)")
    assert found["pyyaml"].found.endswith("(tested with 0.2)")
    assert found["mlflow"].is_met


def test_the_projects_own_constraints_can_be_read():
    assert pinned_versions(ROOT / "constraints.txt")["great-expectations"].startswith("1.")


def test_the_flights_are_required_only_where_the_project_reads_them(tmp_path, monkeypatch):
    requirement = {}
    for directory in (ROOT, tmp_path):
        monkeypatch.chdir(directory)
        flights = next(need for need in tools() if need.name == "flights data")
        requirement[directory] = flights.is_required
    assert requirement == {ROOT: True, tmp_path: False}
