"""`status`, `promote`, `rollback` and `history` on a real registry."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from mlflow_ext.cli import run
from mlflow_ext.project import Promotion
from mlflow_ext.records import Verdict

# Test folders are no packages: pytest itself puts each of them on the path in the same way.
sys.path.append(str(Path(__file__).parent.parent / "registry"))

from registry_shop import Shop

WHY = ("--reason", "better")


@pytest.fixture
def shop(tracking):
    """Model 'delay' with its policy and two judged versions."""
    shop = Shop(tracking)
    policy = TypeAdapter(Promotion).dump_json(shop.add_model(2)).decode()
    tracking.set_registered_model_tag("delay", "mlflow_ext.policy", policy)
    shop.judge(1)
    shop.judge(2)
    return shop


@pytest.fixture
def ask(capsys):
    """Run a command line; returns its exit code and its JSON document (None without one)."""

    def ask(*words):
        capsys.readouterr()
        code = run([*map(str, words), "--format", "json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return ask


def go_live(ask, version):
    for stage in ("Staging", "Production"):
        assert ask("promote", "delay", version, "--to", stage, *WHY)[0] == 0


def test_promote_moves_a_version_and_prints_what_it_did(shop, ask):
    code, document = ask("promote", "delay", 1, "--to", "staging", "--actor", "ann", *WHY)
    assert code == 0
    assert document["is_allowed"] and all(rule["is_met"] for rule in document["requirements"])
    transition = document["transition"]
    assert (transition["actor"], transition["reason"]) == ("ann", "better")
    assert shop.state()[0] == {1: "Staging", 2: "None"}


def test_a_refusal_is_exit_1_with_each_requirement_and_its_command(shop, ask):
    shop.judge(1, metrics=Verdict.FAILED)
    code, document = ask("promote", "delay", 1, "--to", "Production", *WHY)
    assert code == 1
    assert not document["is_allowed"] and document["transition"] is None
    unmet = [rule for rule in document["requirements"] if not rule["is_met"]]
    assert [(rule["name"], rule["fix"]) for rule in unmet] == [
        ("stage Staging", "mlflow-ext promote delay 1 --to Staging --reason '...'"),
        ("gate metrics", "mlflow run . -e gate --env-manager local"),
    ]
    assert shop.state()[0] == {1: "None", 2: "None"}


def test_a_refusal_as_a_table_names_the_command_too(shop, capsys):
    assert run(["promote", "delay", "1", "--to", "Production", *WHY]) == 1
    captured = capsys.readouterr()
    assert "mlflow-ext promote delay 1 --to Staging --reason '...'" in captured.out
    assert "advisory: this registry does not enforce" in captured.err


def test_a_dry_run_answers_and_moves_nothing(shop, ask):
    code, document = ask("promote", "delay", 1, "--to", "Staging", "--dry-run", *WHY)
    assert (code, document["is_allowed"], document["transition"]) == (0, True, None)
    assert shop.state()[0] == {1: "None", 2: "None"}


def test_rollback_moves_the_previous_version_back(shop, ask):
    go_live(ask, 1)
    go_live(ask, 2)
    code, document = ask("rollback", "delay", "--reason", "alarm")
    assert (code, document["version"], document["replaced"]) == (0, 1, 2)
    assert shop.state() == ({1: "Production", 2: "Archived"}, {"champion": 1})


def test_rollback_with_nothing_to_undo_is_no_verdict(shop, ask, capsys):
    assert ask("rollback", "delay", "--reason", "alarm") == (2, None)
    assert run(["rollback", "delay", "--reason", "alarm"]) == 2
    assert "nothing to undo" in capsys.readouterr().err


def test_history_lists_every_transition_oldest_first(shop, ask):
    go_live(ask, 1)
    code, document = ask("history", "delay")
    assert code == 0
    steps = [(s["from_stage"], s["to_stage"], s["reason"]) for s in document["transitions"]]
    assert steps == [("None", "Staging", "better"), ("Staging", "Production", "better")]


def test_status_shows_versions_gates_and_mode(shop, ask):
    code, document = ask("status", "delay")
    assert code == 0
    assert document["mode"].startswith("advisory")
    assert [version["version"] for version in document["versions"]] == [2, 1]
    assert document["versions"][0]["gates"]["champion"] == "passed"


@pytest.mark.parametrize("words", [("status", "delay"), ("history", "delay")])
def test_documents_are_readable_as_tables(shop, words, capsys):
    assert run(words) == 0
    assert capsys.readouterr().out.startswith("model")


@pytest.mark.parametrize(
    "words",
    [
        ("status", "dealy"),
        ("history", "dealy"),
        ("rollback", "dealy", *WHY),
        ("promote", "dealy", "1", "--to", "Staging", *WHY),
        ("promote", "delay", "9", "--to", "Staging", *WHY),
    ],
)
def test_what_does_not_exist_is_no_verdict_and_names_what_does(shop, words, capsys):
    assert run(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "one of" in captured.err and "Traceback" not in captured.err


def test_the_actor_can_come_from_the_environment(shop, ask, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_ACTOR", "ci-bot")
    monkeypatch.setenv("MLFLOW_EXT_PROMOTE_REASON", "nightly")
    document = ask("promote", "delay", 1, "--to", "Staging")[1]
    assert document["transition"]["actor"] == "ci-bot"
    assert document["transition"]["reason"] == "nightly"


def test_a_dead_server_is_given_up_soon_and_clearly(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    code = "from mlflow_ext.cli import main; main()"
    words = ["status", "delay", "--tracking-uri", url]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"MLflow store at {url}: Connection refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_folder_is_no_registry_and_stays_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    uri = "sqlite:///mlflow.db"
    assert run(["status", "delay", "--tracking-uri", uri]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
