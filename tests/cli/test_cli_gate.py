"""`mlflow-ext gate run`, `show` and `explain` on plain MLflow and on a gated registry."""

import json
import sys
from pathlib import Path

import mlflow
import pytest
from judged_models import declare, fit, fit_blind, register

from mlflow_ext.cli import run
from mlflow_ext.registry.advisory.evidence import load_reports
from mlflow_ext.registry.card import write_policy
from mlflow_ext.registry.remote import find_registry

# Test folders are no packages: pytest itself puts each of them on the path in the same way.
sys.path.append(str(Path(__file__).parent.parent / "registry"))

from registry_shop import Shop


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
    code, document = ask("gate", "run", "delay", 1)
    assert (code, document["is_passed"]) == (0, True)
    assert {g["gate"] for g in document["gates"]} == {"metrics", "champion"}
    reports = {report.gate: str(report.verdict) for report in load_reports(tracking, "delay", 1)}
    assert reports == {"metrics": "passed", "champion": "passed"}
    judged = tracking.get_run(document["run"])
    assert (judged.info.run_name, judged.info.status) == ("gate", "FINISHED")
    trained = tracking.get_run(tracking.get_model_version("delay", "1").run_id)
    assert judged.info.experiment_id == trained.info.experiment_id


def test_the_run_that_judged_holds_the_page_the_metrics_and_the_tags(tracking, ask):
    register(tracking, fit())
    declare()
    run_id = ask("gate", "run", "delay", 1)[1]["run"]
    judged = tracking.get_run(run_id)
    assert judged.data.tags["gate.metrics"] == "passed"
    assert 0.7 < judged.data.metrics["gate.metrics.roc_auc"] <= 1
    page = mlflow.artifacts.load_text(f"{judged.info.artifact_uri}/gates/report.html")
    assert "models:/delay/1" in page and "passed" in page


def test_plain_mlflow_is_told_to_be_advisory(tracking, capsys):
    register(tracking, fit())
    declare()
    assert run(["gate", "run", "delay", "1"]) == 0
    assert "advisory" in capsys.readouterr().err


def test_a_gate_that_fails_is_exit_1_with_what_was_measured(tracking, ask):
    register(tracking, fit_blind())
    declare()
    code, document = ask("gate", "run", "delay", 1)
    assert (code, document["is_passed"]) == (1, False)
    check = next(check for check in document["checks"] if check["gate"] == "metrics")
    assert (check["check"], check["observed"]) == ("roc_auc", 0.5)
    assert check["expected"].startswith(">= 0.7")


def test_on_a_gated_registry_the_reports_open_production(gated, ask):
    register(gated, fit())
    declare()
    with pytest.raises(mlflow.MlflowException, match="mlflow-ext gate run delay 1"):
        gated.transition_model_version_stage("delay", "1", "Production")
    code, document = ask("gate", "run", "delay", 1, "--actor", "ann")
    assert (code, len(document["evidence"])) == (0, 2)
    assert gated.transition_model_version_stage("delay", "1", "Production").version == 1
    found = find_registry().ask("evidence/list", model="delay", version=1)["attestations"]
    assert [a["id"] for a in found] == document["evidence"]


def test_on_a_gated_registry_a_failed_gate_is_evidence_too_and_keeps_it_shut(gated, ask):
    register(gated, fit_blind())
    declare()
    code, document = ask("gate", "run", "delay", 1)
    assert (code, len(document["evidence"])) == (1, 2)
    with pytest.raises(mlflow.MlflowException, match="failed"):
        gated.transition_model_version_stage("delay", "1", "Production")


def test_the_file_can_come_from_the_environment(tracking, ask, tmp_path, monkeypatch):
    register(tracking, fit())
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setenv("MLFLOW_EXT_GATES", str(declare(folder)))
    assert ask("gate", "run", "delay", 1)[0] == 0


def test_one_gate_alone_leaves_the_reports_of_the_others(tracking, ask):
    register(tracking, fit())
    declare()
    ask("gate", "run", "delay", 1)
    first = {report.gate: report for report in load_reports(tracking, "delay", 1)}
    code, document = ask("gate", "run", "delay", 1, "--gate", "metrics")
    assert (code, [g["gate"] for g in document["gates"]]) == (0, ["metrics"])
    second = {report.gate: report for report in load_reports(tracking, "delay", 1)}
    assert second["champion"] == first["champion"]
    assert second["metrics"].created_ms > first["metrics"].created_ms


def test_on_a_gated_registry_one_gate_alone_is_one_piece_of_evidence(gated, ask):
    register(gated, fit())
    declare()
    code, document = ask("gate", "run", "delay", 1, "--gate", "champion")
    assert (code, len(document["evidence"])) == (0, 1)


def test_show_has_nothing_to_say_of_a_version_that_nobody_has_judged(tracking, ask):
    register(tracking, fit())
    code, document = ask("gate", "show", "delay", 1)
    assert (code, document["is_passed"], document["gates"]) == (1, False, [])


def test_show_reads_the_attached_reports_check_by_check(tracking, ask):
    register(tracking, fit())
    declare()
    judged = ask("gate", "run", "delay", 1)[1]
    code, document = ask("gate", "show", "delay", 1)
    assert (code, document["is_passed"], document["problems"]) == (0, True, [])
    by_gate = sorted(judged["checks"], key=lambda check: check["gate"])
    assert document["checks"] == by_gate


def test_show_of_a_gated_registry_is_the_newest_evidence_of_each_gate(gated, ask):
    register(gated, fit())
    declare()
    ask("gate", "run", "delay", 1)
    newest = ask("gate", "run", "delay", 1)[1]["evidence"]
    code, document = ask("gate", "show", "delay", 1)
    assert (code, document["is_passed"]) == (0, True)
    assert sorted(gate["id"] for gate in document["gates"]) == newest
    assert {gate["verdict"] for gate in document["gates"]} == {"passed"}


def test_explain_says_what_is_missing_and_how_to_get_it(gated, ask):
    register(gated, fit())
    declare()
    code, document = ask("gate", "explain", "delay", 1, "--to", "production")
    assert (code, document["to_stage"], document["is_allowed"]) == (1, "Production", False)
    assert document["missing"][-1]["found"] == "no report"
    assert document["commands"][0] == "mlflow-ext gate run delay 1"
    assert document["commands"][-1].startswith("mlflow-ext promote delay 1 --to Production")
    ask("gate", "run", "delay", 1)
    code, document = ask("gate", "explain", "delay", 1, "--to", "Production")
    assert (code, document["missing"]) == (0, [])
    assert find_registry().ask("history", model="delay")["transitions"] == []


def test_explain_asks_about_the_next_stage_unless_one_is_named(gated, ask):
    register(gated, fit())
    assert ask("gate", "explain", "delay", 1)[1]["to_stage"] == "Staging"
    gated.transition_model_version_stage("delay", "1", "Staging")
    assert ask("gate", "explain", "delay", 1)[1]["to_stage"] == "Production"


def test_explain_follows_the_way_that_the_policy_lays_out(gated, ask, tmp_path):
    register(gated, fit())
    stages = {
        "uat": {"alias": "uat", "comes_from": ["None"]},
        "Production": {"comes_from": ["uat"], "min_passed": 1},
    }
    (tmp_path / "policy.yaml").write_text(json.dumps({"name": "uat first", "stages": stages}))
    assert ask("policy", "set", "delay", "policy.yaml", "--reason", "x")[0] == 0
    assert ask("gate", "explain", "delay", 1)[1]["to_stage"] == "uat"
    assert ask("promote", "delay", 1, "--to", "uat", "--reason", "x")[0] == 0
    document = ask("gate", "explain", "delay", 1)[1]
    assert document["to_stage"] == "Production"
    assert "stage uat" in document["met"]


def test_explain_on_plain_mlflow_asks_the_policy_of_the_project(tracking, ask):
    write_policy(tracking, Shop(tracking).add_model(1))
    code, document = ask("gate", "explain", "delay", 1)
    assert (code, document["to_stage"], document["policy"]) == (1, "Staging", None)
    assert [rule["name"] for rule in document["missing"]] == ["gate data", "gate metrics"]
    assert document["commands"][0].startswith("mlflow run . -e gate")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("delay", "1", "--gate", "metric"), "write 'metrics' instead of 'metric'"),
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
    assert run(["gate", "run", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err and "Traceback" not in captured.err


def test_help_does_not_load_mlflow():
    import subprocess

    code = (
        "import sys; from mlflow_ext.cli import run; run(['gate', 'run', '--help']);"
        "sys.exit('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "MLFLOW_EXT_GATES" in done.stdout
