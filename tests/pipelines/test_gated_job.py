"""The job on a gated registry, in this process and on a server: what it does alone is allowed."""

import io
import re
import shutil
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import yaml
from servers import serve_gated
from small_project import ROOT, be_lenient, leave_few_gates, make_project

from mlflow_ext import cli
from mlflow_ext.project import load_project
from mlflow_ext.registry.connection import reaching
from mlflow_ext.registry.gated.governance import server_key_id
from mlflow_ext.registry.remote import find_registry
from mlflow_ext.registry.rules import policy_digest, policy_of
from pipelines.main import run

MODEL = "flight-delay"
OPTIONS = {"through": "2013-04", "reuse": True, "n_trials": None, "timeout": None, "study": ""}
BLIND = {"random_state": 0, "early_stopping": False, "min_samples_leaf": 5000}
"""Leaves larger than the table: the model says the same of every flight."""


@dataclass
class Story:
    """What happened to one project on one gated registry."""

    client: mlflow.MlflowClient
    folder: Path
    told: dict
    """Chapter -> exit code, and what was said on stderr."""

    def ask(self, operation, **payload):
        return find_registry(self.client.tracking_uri, self.client._registry_uri).ask(
            operation, **payload
        )

    def lines(self, chapter):
        """What became of each step, as the progress lines tell it."""
        return dict(re.findall(r"^\[\d/9\] (\w+) +(\w+)", self.told[chapter][1], re.MULTILINE))


@contextmanager
def at_work(folder, tracking, registry):
    """Work in *folder*, with a signing key of its own, on the given stores."""
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_EXT_KEY", str(folder / "key.pem"))
        server_key_id.cache_clear()
        mlflow.set_tracking_uri(tracking)
        mlflow.set_registry_uri(registry)
        mlflow.set_experiment("flights")
        yield
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])
    mlflow.tracking.fluent._active_experiment_id = None
    server_key_id.cache_clear()


def tell(until="promote"):
    with redirect_stderr(io.StringIO()) as said:
        code = run(until, OPTIONS)
    return code, said.getvalue()


def make_flights(folder):
    """The small project beside the declared gates, both with KPIs within its reach."""
    folder.mkdir()
    make_project(folder)
    declared = load_yaml(ROOT / "gates.yaml")
    leave_few_gates(declared["models"][MODEL]["gates"])
    (folder / "gates.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    be_lenient(folder / "project.yaml")
    be_lenient(folder / "gates.yaml")
    return folder


def write_on(told):
    """Run the job, run it again, and run it with a candidate that knows nothing."""
    told["good"], told["again"] = tell(), tell()
    file = Path("project.yaml")
    project = load_yaml(file)
    project["search"]["fixed"] = BLIND
    file.write_text(yaml.safe_dump(project, sort_keys=False))
    told["bad"] = tell()


def load_yaml(path):
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def laptop(tmp_path_factory, empty_store):
    """No server; the registry becomes a gated one after a version has been judged without it."""
    folder = make_flights(tmp_path_factory.mktemp("laptop") / "project")
    shutil.copy(empty_store, folder / "mlflow.db")
    plain = f"sqlite:///{folder}/mlflow.db"
    with at_work(folder, plain, plain):
        told = {"before": tell("gate")}
        mlflow.set_registry_uri(f"gated+{plain}")
        client = mlflow.MlflowClient()
        with pytest.raises(Exception) as refused, reaching(client):
            client.set_registered_model_alias(MODEL, "champion", "1")
        told["click"] = 1, str(refused.value)
        write_on(told)
        yield Story(client, folder, told)


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_store):
    home = tmp_path_factory.mktemp("server")
    folder = make_flights(home / "project")
    shutil.copy(empty_store, home / "mlflow.db")
    with (
        serve_gated(home, f"sqlite:///{home}/mlflow.db") as url,
        at_work(folder, url, url),
    ):
        told = {}
        write_on(told)
        yield Story(mlflow.MlflowClient(), folder, told)


@pytest.fixture(params=["laptop", pytest.param("server", marks=pytest.mark.slow)])
def story(request):
    return request.getfixturevalue(request.param)


def test_a_good_candidate_gets_to_production_by_itself(story):
    code, said = story.told["good"]
    assert code == 0, said
    version = story.client.get_model_version_by_alias(MODEL, "champion")
    assert (int(version.version), version.current_stage) == (1, "Production")


def test_the_promotion_section_of_the_project_is_the_policy(story):
    shown = story.ask("policy/show", model=MODEL)
    assert shown["digest"] == policy_digest(
        policy_of(load_project(story.folder / "project.yaml").promotion)
    )
    said = f"policy 'project.yaml' governs ({shown['source']}, set by {shown['actor']})"
    assert said in story.told["good"][1]


@pytest.mark.slow
def test_a_gated_registry_is_not_asked_to_keep_the_policy_in_a_tag(server):
    assert "mlflow_ext.policy" not in server.client.get_registered_model(MODEL).tags


def test_every_gate_has_signed_evidence_and_a_tag_for_the_eye(story):
    found = story.ask("evidence/list", model=MODEL, version=1)["attestations"]
    first = {a["gate"]: (a["verdict"], a["trust"], a["problem"]) for a in found[:3]}
    assert first == dict.fromkeys(("data", "metrics", "champion"), ("passed", "attested", ""))
    ids = ", ".join(str(a["id"]) for a in found[:3])
    assert f"signed as evidence {ids}\n" in story.told["good"][1]
    tags = story.client.get_model_version(MODEL, "1").tags
    assert (tags["gate.data"], "mlflow_ext.gate_run" in tags) == ("passed", True)


def test_a_second_run_reuses_what_the_first_has_done(story):
    code, said = story.told["again"]
    assert code == 0, said
    assert list(story.lines("again").values()) == ["reused"] * 7 + ["ran"] * 2


def test_a_candidate_that_knows_nothing_is_refused_and_stays_out(story):
    code, said = story.told["bad"]
    assert code == 1
    assert "Production: gate champion: failed: roc_auc against models:/flight-delay/1" in said
    assert story.client.get_model_version(MODEL, "2").current_stage == "Staging"
    assert int(story.client.get_model_version_by_alias(MODEL, "champion").version) == 1


def test_history_tells_what_happened_and_why(story):
    told = story.ask("history", model=MODEL)["transitions"]
    steps = [(t["action"], t["version"], t["to_stage"]) for t in told if t["client"] != "mlflow"]
    assert steps == [
        ("promote", 1, "Staging"),
        ("promote", 1, "Production"),
        ("promote", 2, "Staging"),
        ("refuse", 2, "Production"),
    ]
    assert (
        "champion failed" in told[-1]["reason"] and "[unmet: gate champion]" in told[-1]["reason"]
    )


def test_status_shows_the_grounds_of_both_versions(story):
    status = story.ask("status", model=MODEL)
    assert status["mode"].startswith("gated: policy 'project.yaml' governs")
    assert list(status["problems"]) == []
    champion = {version["version"]: version["gates"]["champion"] for version in status["versions"]}
    assert champion == {1: "passed", 2: "failed"}


def test_the_ledger_holds_and_every_decision_would_be_taken_again(story):
    assert list(story.ask("audit/verify")["problems"]) == []
    replay = story.ask("replay")
    assert (replay["replayed"] >= 4, list(replay["different"])) == (True, [])


def test_a_version_judged_before_the_registry_was_gated_is_refused_with_the_mend(laptop):
    code, said = laptop.told["before"]
    assert code == 0 and "advisory" in said
    refusal = laptop.told["click"][1]
    assert "Policy 'evidence' refuses to move version 1 of 'flight-delay' to Production" in refusal
    assert "fix:      mlflow-ext gate run flight-delay 1" in refusal


def test_the_next_run_mends_that_without_training_again(laptop):
    lines = laptop.lines("good")
    assert (lines["train"], lines["register"], lines["gate"]) == ("reused", "ran", "ran")


def test_the_command_that_a_refusal_names_works_after_a_run(laptop, capsys, monkeypatch):
    monkeypatch.chdir(laptop.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", laptop.client.tracking_uri)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", laptop.client._registry_uri)
    before = laptop.ask("evidence/list", model=MODEL, version=1)["attestations"]
    asked = ["gate", "run", MODEL, "1", "--format", "json"]
    assert cli.run(asked) == 0, capsys.readouterr().err
    after = laptop.ask("evidence/list", model=MODEL, version=1)["attestations"]
    assert [a["gate"] for a in after[len(before) :]] == ["data", "metrics", "champion"]


def test_the_declared_gates_are_those_of_the_project():
    project = load_yaml(ROOT / "project.yaml")
    declared = load_yaml(ROOT / "gates.yaml")["models"][project["promotion"]["model"]]
    assert declared["gates"]["metrics"]["kpis"] == project["kpis"]
    assert declared["decision_threshold"] == project["decision_threshold"]
    others = {name: declared["gates"][name] for name in project["gates"]["model"]}
    assert others == project["gates"]["model"]
    assert {"data", "metrics", *others} == set(declared["gates"])
