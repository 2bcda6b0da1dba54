"""The commands of a gated registry, against a real socket that speaks its protocol."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_ext.cli import run

# Test folders are no packages: pytest itself puts each of them on the path in the same way.
sys.path.append(str(Path(__file__).parent.parent / "registry"))

from protocol_server import API, speak

WHY = ("--reason", "better")
MET = {"name": "stage Staging", "found": "Staging", "fix": "", "is_met": True}
UNMET = {
    "name": "gate metrics",
    "found": "failed",
    "fix": "mlflow-ext gate run delay 1",
    "is_met": False,
}
TRANSITION = {"model": "delay", "version": 1, "to_stage": "Production", "actor": "ann"}
HEAD = {"workspace": "default", "seq": 3, "hash": "c" * 64}


def decision(*requirements):
    return {
        "model": "delay",
        "version": 1,
        "to_stage": "Production",
        "requirements": requirements,
        "is_allowed": all(rule["is_met"] for rule in requirements),
    }


def entry(seq, **changes):
    return {"id": seq, "workspace": "default", "seq": seq, "hash": "c" * 64} | changes


@pytest.fixture
def protocol(monkeypatch, tmp_path):
    with speak() as protocol:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", protocol.url)
        monkeypatch.chdir(tmp_path)
        yield protocol


@pytest.fixture
def ask(protocol, capsys):
    """Run a command line; returns exit code, JSON document (None without one) and stderr."""

    def ask(*words):
        capsys.readouterr()
        code = run([*map(str, words), "--format", "json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return ask


def test_a_promotion_is_decided_by_the_registry(protocol, ask):
    answer = {"policy": "evidence", "decision": decision(MET), "transition": TRANSITION}
    protocol.answer("promote", answer)
    code, document, err = ask("promote", "delay", 1, "--to", "uat", "--actor", "ann", *WHY)
    (request,) = protocol.asked
    assert request.body == {
        "model": "delay",
        "version": 1,
        "to": "uat",
        "reason": "better",
        "dry_run": False,
    }
    assert request.headers["X-Mlflow-Ext-Actor"] == "ann"
    assert (code, document["is_allowed"], document["requirements"]) == (0, True, [MET])
    assert (document["policy"], document["transition"]) == ("evidence", TRANSITION)
    assert err == "", "a gated registry enforces: nothing to warn of"


def test_a_refusal_is_exit_1_with_the_commands_that_mend_it(protocol, ask):
    refusal = {"error_code": "PERMISSION_DENIED", "message": "…", "transition": None}
    protocol.answer("promote", {**refusal, "decision": decision(MET, UNMET)}, 403)
    code, document, _ = ask("promote", "delay", 1, "--to", "Production", *WHY)
    assert (code, document["is_allowed"], document["transition"]) == (1, False, None)
    assert document["requirements"] == [MET, UNMET]


def test_a_dry_run_prints_every_rule_met_or_not(protocol, capsys):
    protocol.answer("promote", {"decision": decision(MET, UNMET), "transition": None})
    words = ["promote", "delay", "1", "--to", "Production", "--dry-run", *WHY]
    assert run(words) == 1
    assert protocol.asked[0].body["dry_run"] is True
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "stage Staging True Staging -" in lines
    assert "gate metrics False failed mlflow-ext gate run delay 1" in lines


def test_a_forced_promotion_is_loud(protocol, ask):
    forced = {**MET, "name": "forced past: gate metrics", "found": "failed"}
    protocol.answer("force", {"decision": decision(forced), "transition": TRANSITION})
    code, document, err = ask("force", "delay", 1, "--to", "Production", *WHY)
    assert (code, document["requirements"][0]["name"]) == (0, "forced past: gate metrics")
    assert "FORCED: version 1 of 'delay' went to Production against its policy" in err


def test_a_force_that_is_refused_is_exit_1_and_moves_nothing(protocol, ask):
    answer = {"decision": decision({**UNMET, "name": "force"}), "transition": None}
    protocol.answer("force", answer, 403)
    code, document, err = ask("force", "delay", 1, "--to", "Production", *WHY)
    assert (code, document["requirements"][0]["name"], err) == (1, "force", "")


@pytest.mark.parametrize("word", ["request", "approve", "reject"])
def test_a_word_about_a_version_is_sent_and_its_line_shown(word, protocol, ask):
    protocol.answer(word, {"entry": entry(5)})
    assert ask(word, "delay", 1, "--to", "Production", *WHY)[:2] == (0, entry(5))
    asked = {"model": "delay", "version": 1, "to": "Production", "reason": "better"}
    assert protocol.asked[0].body == asked


QUESTIONS = [
    (["status", "delay"], ("GET", "status"), {"model": "delay"}),
    (["history", "delay"], ("GET", "history"), {"model": "delay"}),
    (["rollback", "delay", *WHY], ("POST", "rollback"), {"model": "delay", "reason": "better"}),
    (["policy", "show", "delay"], ("GET", "policy/show"), {"model": "delay"}),
    (
        ["evidence", "list", "delay", "1"],
        ("GET", "evidence/list"),
        {"model": "delay", "version": "1"},
    ),
    (["evidence", "show", "7"], ("GET", "evidence/show"), {"id": "7"}),
    (["webhook", "list"], ("GET", "webhooks/list"), {}),
    (["webhook", "deliveries"], ("GET", "webhooks/deliveries"), {}),
    (["webhook", "deliveries", "w1"], ("GET", "webhooks/deliveries"), {"id": "w1"}),
    (["webhook", "remove", "w1"], ("POST", "webhooks/delete"), {"id": "w1"}),
    (
        ["webhook", "add", "https://a.org", "--event", "transition", "--event", "policy"],
        ("POST", "webhooks/create"),
        {"url": "https://a.org", "events": ["transition", "policy"]},
    ),
]


@pytest.mark.parametrize(("words", "asked", "payload"), QUESTIONS, ids=" ".join)
def test_a_question_is_passed_on_and_its_answer_shown(words, asked, payload, protocol, ask):
    method, operation = asked
    document = {"found": [{"id": 1}]}
    protocol.answer(operation, document)
    assert ask(*words) == (0, document, "")
    (request,) = protocol.asked
    assert (request.method, request.path) == (method, f"{API}{operation}")
    assert (request.query if method == "GET" else request.body) == payload


def test_an_erasure_is_recorded_under_its_number(protocol, ask):
    protocol.answer("erasures/record", {"seq": 9})
    words = ["--request", "DSR-17", "--fingerprint", "a", "--fingerprint", "b", "--rows", 3, *WHY]
    assert ask("erasure", "record", "delay", *words)[:2] == (0, {"seq": 9})
    assert protocol.asked[0].body == {
        "model": "delay",
        "request": "DSR-17",
        "fingerprints": ["a", "b"],
        "rows": 3,
        "reason": "better",
    }


@pytest.mark.parametrize("is_clean", [True, False])
def test_versions_in_a_stage_that_know_erased_rows_are_a_no(is_clean, protocol, ask):
    answer = {"model": "delay", "affected": [{"version": 1}], "is_clean": is_clean}
    protocol.answer("erasures/list", answer)
    assert ask("erasure", "list", "delay")[:2] == (0 if is_clean else 1, answer)


ATTESTED = "stages: {Production: {gates: [{gate: data, trust: attested}]}}"
KEYS = f"keys: [{{public_key: {'A' * 43}=}}]"


@pytest.mark.parametrize(
    ("rules", "is_told"),
    [
        (ATTESTED, True),
        ("stages: {Production: {min_passed: 1, trust: attested}}", True),
        (f"{ATTESTED}\n{KEYS}", False),
        ("stages: {Production: {trust: attested}}", False),
        (ATTESTED.replace("attested", "recomputed"), False),
    ],
)
def test_attested_by_whom_a_policy_must_say(rules, is_told, protocol, ask, tmp_path):
    (tmp_path / "policy.yaml").write_text(f"name: firm\n{rules}\n")
    protocol.answer("policy/set", {"entry": entry(2)})
    for words in (["check", "policy.yaml"], ["set", "delay", "policy.yaml", *WHY]):
        code, _, err = ask("policy", *words)
        assert code == 0
        told = "warning: stage 'Production' asks for attested evidence, and without 'keys'"
        assert (told in err) is is_told


def test_evidence_that_is_taken_back_needs_a_reason(protocol, ask):
    protocol.answer("evidence/revoke", {"entry": entry(8)})
    assert ask("evidence", "revoke", 7, "--reason", "wrong data")[:2] == (0, entry(8))
    assert protocol.asked[0].body == {"id": 7, "reason": "wrong data"}


def test_a_bundle_goes_through_a_file_to_another_registry(protocol, ask, tmp_path, capsys):
    bundle = {"format": "mlflow-ext-bundle/1", "statements": ["ü"]}
    protocol.answer("evidence/export", bundle)
    protocol.answer("evidence/import", {"ids": [1]})
    assert run(["evidence", "export", "delay", "1", "--output", "bundle.json"]) == 0
    assert capsys.readouterr().out == ""
    assert ask("evidence", "import", "delay", 4, tmp_path / "bundle.json")[:2] == (0, {"ids": [1]})
    assert protocol.asked[1].body == {"model": "delay", "version": 4, "bundle": bundle}


def test_an_export_without_a_file_is_the_document_on_stdout(protocol, capsys):
    protocol.answer("evidence/export", {"statements": []})
    assert run(["evidence", "export", "delay", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == {"statements": []}


@pytest.mark.parametrize("text", ["no json", "[]"])
def test_a_file_that_is_no_bundle_is_not_sent(text, protocol, tmp_path, capsys):
    (tmp_path / "bundle.json").write_text(text)
    assert run(["evidence", "import", "delay", "1", "bundle.json"]) == 2
    assert "mlflow-ext evidence export" in capsys.readouterr().err
    assert protocol.received == []


def test_the_public_key_of_this_machine_is_printed(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_KEY", str(tmp_path / "key.pem"))
    code, document, _ = ask("evidence", "key")
    assert code == 0
    assert ask("evidence", "key")[1] == document, "the key is made once"
    assert len(document["key_id"]) == 64 and "PRIVATE" in (tmp_path / "key.pem").read_text()


def test_a_policy_is_read_here_and_set_there(protocol, ask, tmp_path):
    (tmp_path / "policy.yaml").write_text("name: strict\nstages:\n  Production: {min_passed: 2}\n")
    protocol.answer("policy/set", {"entry": entry(2)})
    assert ask("policy", "set", "delay", "policy.yaml", *WHY)[:2] == (0, entry(2))
    body = protocol.asked[0].body
    assert (body["model"], body["reason"], body["policy"]["name"]) == ("delay", "better", "strict")
    assert body["policy"]["stages"]["Production"]["min_passed"] == 2


def test_a_policy_with_a_mistake_is_not_sent(protocol, tmp_path, capsys):
    (tmp_path / "policy.yaml").write_text("name: strict\nstagse: {}\n")
    assert run(["policy", "set", "delay", "policy.yaml", *WHY]) == 2
    assert "policy.yaml:2" in capsys.readouterr().err
    assert protocol.received == []


def test_checking_a_policy_asks_no_server(ask, protocol, tmp_path):
    (tmp_path / "good.yaml").write_text("name: strict\nstages:\n  Production: {min_passed: 2}\n")
    (tmp_path / "bad.yaml").write_text("name: strict\nstagse: {}\n")
    code, document, _ = ask("policy", "check", "good.yaml")
    assert (code, document["is_policy"], len(document["digest"])) == (0, True, 64)
    assert document["policy"]["stages"]["Production"]["is_exclusive"] is True
    code, document, _ = ask("policy", "check", "bad.yaml")
    assert (code, document["is_policy"]) == (1, False)
    assert "bad.yaml:2" in document["found"] and "stages" in document["fix"]
    assert protocol.received == []


def test_another_policy_is_imagined_for_one_model_or_all(protocol, ask, tmp_path):
    (tmp_path / "new.yaml").write_text("name: new\n")
    answer = {"decisions": 4, "would_block": [{"version": 2}], "would_release": []}
    protocol.answer("whatif", answer)
    assert ask("whatif", "--policy", "new.yaml", "delay")[:2] == (0, answer)
    assert ask("whatif", "--policy", "new.yaml")[:2] == (0, answer)
    first, second = (request.body for request in protocol.asked)
    assert (first["model"], first["policy"]["name"]) == ("delay", "new")
    assert "model" not in second


@pytest.mark.parametrize(("different", "code"), [([], 0), ([{"seq": 4}], 1)])
def test_a_replay_says_no_when_a_decision_comes_out_otherwise(different, code, protocol, ask):
    answer = {"replayed": 9, "different": different}
    protocol.answer("replay", answer)
    assert ask("replay", "--all")[:2] == (code, answer)
    assert ask("replay", "delay")[:2] == (code, answer)
    assert [request.query for request in protocol.asked] == [{}, {"model": "delay"}]


@pytest.mark.parametrize(
    ("problems", "code"), [([], 0), ([{"seq": 2, "id": 2, "problem": "the line was edited"}], 1)]
)
def test_an_audit_says_no_when_a_line_does_not_hold(problems, code, protocol, ask):
    answer = {"rows": 3, "head": HEAD, "problems": problems}
    protocol.answer("audit/verify", answer)
    assert ask("audit", "verify")[:2] == (code, answer)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (entry(3), None),
        (entry(3, hash="d" * 64), f"the line has hash {'d' * 64}; it had {'c' * 64}"),
        (entry(3, workspace="other"), "in workspace 'default'"),
        (entry(4), "the line is gone"),
        (None, "the line is gone"),
    ],
    ids=["same", "rewritten", "another-workspace", "removed", "cut-off"],
)
def test_an_anchor_shows_a_ledger_that_was_rewritten_as_a_whole(line, problem, protocol, ask):
    protocol.answer("audit/head", HEAD)
    protocol.answer("audit/verify", {"rows": 5, "head": HEAD, "problems": []})
    protocol.answer("audit/export", {"entries": [line] if line else [], "next": None})
    assert run(["audit", "anchor", "--output", "anchor.json"]) == 0
    code, document, _ = ask("audit", "verify", "--anchor", "anchor.json")
    assert protocol.asked[-1].query == {"after": "2", "limit": "1"}
    assert code == (1 if problem else 0)
    assert [found["seq"] for found in document["problems"]] == ([3] if problem else [])
    assert (problem or "") in "".join(found["problem"] for found in document["problems"])


def test_the_anchor_of_an_empty_ledger_holds_always(protocol, ask, tmp_path):
    (tmp_path / "anchor.json").write_text('{"workspace": "default", "seq": 0, "hash": ""}')
    protocol.answer("audit/verify", {"rows": 5, "head": HEAD, "problems": []})
    assert ask("audit", "verify", "--anchor", "anchor.json")[0] == 0


def test_a_file_that_is_no_anchor_is_told(protocol, tmp_path, capsys):
    (tmp_path / "anchor.json").write_text('{"seq": 1}')
    assert run(["audit", "verify", "--anchor", "anchor.json"]) == 2
    assert "mlflow-ext audit anchor" in capsys.readouterr().err


def test_an_export_is_one_line_for_each_line_of_the_ledger_over_all_pages(protocol, capsys):
    def page(request):
        after = int(request.query["after"])
        found = [entry(after + 1), entry(after + 2)] if after < 4 else []
        return {"entries": found, "next": after + 2 if found else None}

    protocol.answer("audit/export", page)
    assert run(["audit", "export", "--format", "jsonl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4]
    assert run(["audit", "export", "--after", "2", "--output", "rest.jsonl"]) == 0
    assert [json.loads(line)["seq"] for line in Path("rest.jsonl").read_text().splitlines()] == [
        3,
        4,
    ]


def test_a_refusal_of_anything_else_is_no_verdict_with_its_fix(protocol, capsys):
    parts = {
        "found": "'ann' may not",
        "expected": "an owner",
        "fix": "mlflow-ext policy show delay",
    }
    protocol.answer("evidence/revoke", {"error_code": "X", "message": "…", **parts}, 403)
    assert run(["evidence", "revoke", "7", *WHY]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(part in captured.err for part in parts.values())


NEEDS_GATED = [
    ["request", "delay", "1", "--to", "Production", *WHY],
    ["force", "delay", "1", "--to", "Production", *WHY],
    ["policy", "show", "delay"],
    ["evidence", "list", "delay", "1"],
    ["audit", "verify"],
    ["audit", "export"],
    ["replay", "--all"],
    ["webhook", "list"],
]


@pytest.mark.parametrize("words", NEEDS_GATED, ids=" ".join)
def test_what_plain_mlflow_cannot_do_names_what_to_start(words, tracking, capsys):
    assert run(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "is plain MLflow" in captured.err
    assert "fix:      mlflow-ext server --backend-store-uri" in captured.err


@pytest.mark.slow
def test_a_plain_server_gets_advice_and_says_so(server, capsys):
    from mlflow import MlflowClient

    MlflowClient(server, server).create_registered_model("delay")
    assert run(["status", "delay", "--tracking-uri", server, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["mode"].startswith("advisory")
    assert run(["policy", "show", "delay", "--tracking-uri", server]) == 2
    assert f"the registry at {server} is plain MLflow" in capsys.readouterr().err


def test_commands_to_a_server_import_nothing_heavy(protocol):
    protocol.answer("promote", {"decision": decision(MET), "transition": TRANSITION})
    for operation in ("rollback", "status", "history"):
        protocol.answer(operation, {"model": "delay"})
    passed = {"id": 1, "gate": "metrics", "verdict": "passed", "problem": ""}
    protocol.answer("evidence/list", {"attestations": [passed]})
    lines = [
        ["promote", "delay", "1", "--to", "Production", *WHY],
        ["rollback", "delay", *WHY],
        ["status", "delay"],
        ["history", "delay"],
        ["gate", "show", "delay", "1"],
        ["gate", "explain", "delay", "1", "--to", "Production"],
    ]
    heavy = {"mlflow", "pandas", "great_expectations", "numpy", "sqlalchemy", "pydantic", "yaml"}
    code = f"""
import sys
from mlflow_ext.cli import run
codes = [run(line) for line in {lines!r}]
print(codes, {heavy!r} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[0, 0, 0, 0, 0, 0] set()"
    assert len(protocol.asked) == 6


def test_a_laptop_asks_its_own_database_without_a_server(tracking, tmp_path, monkeypatch, capsys):
    tracking.create_registered_model("delay")
    tracking.create_model_version("delay", "s3://bucket/model")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"gated+sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXT_KEY", str(tmp_path / "key.pem"))

    def ask(*words):
        code = run([*words, "--actor", "ann", "--format", "json"])
        return code, json.loads(capsys.readouterr().out)

    code, document = ask("promote", "delay", "1", "--to", "production", *WHY)
    assert (code, document["to_stage"], document["transition"]) == (1, "Production", None)
    code, document = ask("promote", "delay", "1", "--to", "staging", *WHY)
    assert (code, document["transition"]["actor"]) == (0, "ann")
    assert ask("approve", "delay", "1", "--to", "Production", *WHY)[1]["kind"] == "approval"
    assert run(["history", "delay", "--format", "json"]) == 0
    steps = json.loads(capsys.readouterr().out)["transitions"]
    assert [step["action"] for step in steps] == ["refuse", "promote"]
    assert run(["audit", "anchor", "--output", "anchor.json"]) == 0
    code, document = ask("audit", "verify", "--anchor", "anchor.json")
    assert (code, document["rows"], document["problems"]) == (0, 3, [])
    assert ask("replay", "--all") == (0, {"replayed": 2, "different": []})
