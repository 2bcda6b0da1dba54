"""`mlflow-ext gate` on plain MLflow and on a gated registry."""

import json
import sys
from pathlib import Path

import mlflow
import pytest
from judged_models import declare, fit, fit_blind, register

from mlflow_ext.cli import run
from mlflow_ext.registry.advisory.evidence import load_reports
from mlflow_ext.registry.remote import find_registry


@pytest.fixture
def ask(capsys):
    """Run a command line; returns its exit code and its JSON document (None without one)."""

    def ask(*words):
        capsys.readouterr()
        code = run([*map(str, words), "--format", "json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return ask


@pytest.fixture
def gated(tracking, tmp_path, monkeypatch):
    """The same store behind its gates; returns a client."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"gated+{uri}")
    monkeypatch.setenv("MLFLOW_EXT_KEY", str(tmp_path / "key.pem"))
    return mlflow.MlflowClient(uri, f"gated+{uri}")


def test_on_plain_mlflow_the_reports_stay_with_the_version(tracking, ask, capsys):
    register(tracking, fit())
    declare()
    code, document = ask("gate", "delay", 1)
    assert (code, document["is_passed"]) == (0, True)
    assert [g["gate"] for g in document["gates"]] == ["metrics", "champion"]
    reports = {report.gate: str(report.verdict) for report in load_reports(tracking, "delay", 1)}
    assert reports == {"metrics": "passed", "champion": "passed"}
    judged = tracking.get_run(document["run"])
    assert (judged.info.run_name, judged.info.status) == ("gate", "FINISHED")
    trained = tracking.get_run(tracking.get_model_version("delay", "1").run_id)
    assert judged.info.experiment_id == trained.info.experiment_id


def test_plain_mlflow_is_told_to_be_advisory(tracking, capsys):
    register(tracking, fit())
    declare()
    assert run(["gate", "delay", "1"]) == 0
    assert "advisory" in capsys.readouterr().err


def test_a_gate_that_fails_is_exit_1_with_what_was_measured(tracking, ask):
    register(tracking, fit_blind())
    declare()
    code, document = ask("gate", "delay", 1)
    assert (code, document["is_passed"]) == (1, False)
    check = document["checks"][0]
    assert (check["check"], check["observed"], check["expected"]) == ("roc_auc", 0.5, ">= 0.7")


def test_on_a_gated_registry_the_reports_open_production(gated, ask):
    register(gated, fit())
    declare()
    with pytest.raises(mlflow.MlflowException, match="mlflow-ext gate delay 1"):
        gated.transition_model_version_stage("delay", "1", "Production")
    code, document = ask("gate", "delay", 1, "--actor", "ann")
    assert (code, len(document["evidence"])) == (0, 2)
    assert gated.transition_model_version_stage("delay", "1", "Production").version == 1
    found = find_registry().ask("evidence/list", model="delay", version=1)["attestations"]
    assert [a["id"] for a in found] == document["evidence"]


def test_on_a_gated_registry_a_failed_gate_is_evidence_too_and_keeps_it_shut(gated, ask):
    register(gated, fit_blind())
    declare()
    code, document = ask("gate", "delay", 1)
    assert (code, len(document["evidence"])) == (1, 2)
    with pytest.raises(mlflow.MlflowException, match="failed"):
        gated.transition_model_version_stage("delay", "1", "Production")


def test_the_file_can_come_from_the_environment(tracking, ask, tmp_path, monkeypatch):
    register(tracking, fit())
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setenv("MLFLOW_EXT_GATES", str(declare(folder)))
    assert ask("gate", "delay", 1)[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dealy", "1"), "write 'delay' instead of 'dealy'"),
        (("delay", "9"), "version 9 of model 'delay' is not in the registry"),
        (("delay", "1", "--config", "nowhere.yaml"), "nowhere.yaml:1: No such file"),
        (("delay", "1"), "model store at models:/delay/1"),
    ],
)
def test_what_cannot_be_judged_is_no_verdict(tracking, words, said, capsys):
    tracking.create_registered_model("delay")
    tracking.create_model_version("delay", str(Path("nothing").absolute()))
    declare()
    assert run(["gate", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err and "Traceback" not in captured.err


def test_help_does_not_load_mlflow():
    import subprocess

    code = (
        "import sys; from mlflow_ext.cli import run; run(['gate', '--help']);"
        "sys.exit('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "MLFLOW_EXT_GATES" in done.stdout
