"""Evidence: what is taken in, how it is shown, and withdrawing it."""

from dataclasses import replace

import pytest
from gated_shop import MODEL, failed_check, on_each_database

from mlflow_ext.errors import RefusedError, UnknownNameError
from mlflow_ext.records import Kind, Trust, Verdict
from mlflow_ext.registry.digest import digest_files
from mlflow_ext.registry.signing import load_key
from mlflow_ext.registry.statement import read_statement


@pytest.fixture
def shop(gated):
    gated.add_versions(2)
    return gated


def add(shop, *envelopes, version=1, actor="ann"):
    asked = {"model": MODEL, "version": version, "envelopes": list(envelopes)}
    return shop.ask("evidence/add", actor, **asked)["ids"]


def list_all(shop, version=1):
    return shop.ask("evidence/list", model=MODEL, version=version)["attestations"]


def is_allowed(shop):
    asked = {"model": MODEL, "version": 1, "to": "Production", "dry_run": True}
    return shop.ask("promote", **asked)["decision"]["is_allowed"]


def test_a_version_tells_what_a_statement_must_bind(shop):
    binding = {
        "model": MODEL,
        "version": 1,
        "created_ms": shop.bind(1).version_created_ms,
        "digest": digest_files(shop.folder / "files" / "0"),
        "workspace": "default",
        "storage": str(shop.folder / "files" / "0"),
    }
    told = shop.ask("version", model=MODEL, version=1)
    assert binding.items() <= told.items()


def test_files_that_cannot_be_read_have_no_digest(shop):
    shop.client.create_model_version(MODEL, str(shop.folder / "nowhere"))
    assert shop.ask("version", model=MODEL, version=3)["digest"] == ""


@on_each_database
def test_what_is_added_is_listed_and_lets_the_version_in(shop):
    good, bad = shop.sign(shop.bind(1)), shop.sign(shop.bind(1), Verdict.FAILED, "data")
    ids = add(shop, good, bad)
    first, second = list_all(shop)
    assert [first["id"], second["id"]] == ids
    assert (first["gate"], first["verdict"], first["trust"]) == ("metrics", "passed", "attested")
    assert (first["signer"], first["problem"]) == (shop.key.key_id, "")
    assert first["observed"] == {"roc_auc": 0.7}
    assert second["reasons"] == ("roc_auc failed: observed 0.7, expected >= 0.67",)
    assert list_all(shop, 2) == []
    assert not is_allowed(shop), "one gate failed"
    shop.ask("evidence/revoke", id=ids[1], reason="wrong data")
    assert is_allowed(shop)


LIES = [
    ({"version": 2}, "it is about version 2"),
    ({"model": "other"}, "it is about model 'other'"),
    ({"model_digest": "0" * 64}, "the model's files have changed"),
    ({"version_created_ms": 1}, "it is about another version 1, made at another time"),
    ({"workspace": "elsewhere"}, "it is about workspace 'elsewhere'"),
]


def test_evidence_about_something_else_is_refused_with_all_that_came_with_it(shop):
    binding = shop.bind(1)
    for lie, reason in LIES:
        with pytest.raises(RefusedError) as error:
            add(shop, shop.sign(binding), shop.sign(replace(binding, **lie)))
        told = f"evidence of gate 'metrics' for version 1 of 'delay': {reason}"
        assert (error.value.found, error.value.fix) == (told, "mlflow-ext gate run delay 1")
    assert shop.lines(Kind.EVIDENCE) == []


def test_a_broken_signature_is_refused(shop):
    envelope = shop.sign(shop.bind(1))
    envelope["payload"] = shop.sign(shop.bind(1), gate="data")["payload"]
    with pytest.raises(RefusedError, match="the signature does not hold"):
        add(shop, envelope)


def test_a_key_that_the_policy_does_not_list_is_refused(shop):
    shop.govern(
        stages={"Production": {"min_passed": 1}}, keys=[{"public_key": shop.key.public_key}]
    )
    add(shop, shop.sign(shop.bind(1)))
    stranger = load_key(shop.folder / "stranger.pem")
    with pytest.raises(RefusedError, match="the policy does not trust key"):
        add(shop, shop.sign(shop.bind(1), key=stranger))


def test_only_the_registrys_own_key_makes_it_recomputed(shop, server_key):
    binding = shop.bind(1, trust=Trust.RECOMPUTED)
    add(shop, shop.sign(binding), shop.sign(binding, key=load_key(server_key)))
    assert [told["trust"] for told in list_all(shop)] == ["attested", "recomputed"]


def test_whoever_adds_it_is_recorded_not_whom_the_statement_names(shop):
    add(shop, shop.sign(shop.bind(1)), actor="bob")
    [line] = shop.lines(Kind.EVIDENCE)
    assert (line.actor, line.client, line.version) == ("bob", "test", 1)


def test_one_piece_is_shown_whole(shop):
    envelope = shop.sign(shop.bind(1), checks=(failed_check(),))
    [number] = add(shop, envelope)
    shown = shop.ask("evidence/show", id=str(number))
    assert (shown["envelope"], shown["entry"]["id"]) == (envelope, number)
    report, binding = read_statement(shown["statement"])
    assert (report.verdict, binding) == (Verdict.FAILED, shop.bind(1))


@pytest.mark.parametrize("operation", ["evidence/show", "evidence/revoke"])
def test_a_line_that_is_no_evidence_is_told(shop, operation):
    more = {"reason": "x"} if operation.endswith("revoke") else {}
    other = shop.lines(Kind.REGISTRATION)[0].id
    with pytest.raises(
        UnknownNameError, match=f"unknown piece of evidence '{other}' in the ledger"
    ) as told:
        shop.ask(operation, id=other, **more)
    assert told.value.fix == "mlflow-ext evidence list MODEL VERSION"


@on_each_database
def test_what_is_withdrawn_stays_listed_and_counts_no_more(shop):
    [number] = add(shop, shop.sign(shop.bind(1)))
    assert is_allowed(shop)
    [line] = shop.lines(Kind.EVIDENCE)
    entry = shop.ask("evidence/revoke", "rita", id=number, reason="wrong data")["entry"]
    assert (entry["kind"], entry["actor"]) == (Kind.REVOCATION, "rita")
    named = {"entry": number, "seq": line.seq, "hash": line.hash}
    assert entry["body"] == {**named, "reason": "wrong data"}
    assert [told["problem"] for told in list_all(shop)] == ["it was revoked"]
    assert not is_allowed(shop)


def test_only_the_policys_owners_withdraw(shop):
    [number] = add(shop, shop.sign(shop.bind(1), Verdict.FAILED))
    owned = {"groups": {"leads": ["olga"]}, "owners": ["leads"]}
    shop.govern(stages={"Production": {"min_passed": 1}}, **owned)
    with pytest.raises(RefusedError, match="'ann' is no owner of policy 'own'"):
        shop.ask("evidence/revoke", "ann", id=number, reason="inconvenient")
    assert shop.lines(Kind.REVOCATION) == []
    shop.ask("evidence/revoke", "olga", id=number, reason="wrong data")
    assert [told["problem"] for told in list_all(shop)] == ["it was revoked"]


def test_evidence_about_files_of_before_is_listed_with_its_problem(shop):
    [number] = add(shop, shop.sign(shop.bind(1)))
    (shop.folder / "files" / "0" / "MLmodel").write_text("others")
    assert [told["problem"] for told in list_all(shop)] == ["the model's files have changed"]
    assert shop.ask("evidence/show", id=number)["entry"]["id"] == number
