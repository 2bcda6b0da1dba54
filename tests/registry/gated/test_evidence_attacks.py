"""Evidence counts for what it was made for, and for nothing else."""

import json
from datetime import UTC, datetime

import pytest
from gated_shop import MODEL, on_each_database
from mlflow.exceptions import MlflowException

from mlflow_ext.records import Kind, Trust, Verdict
from mlflow_ext.registry.chain import canonical
from mlflow_ext.registry.rules import EVIDENCE, dump_policy, parse_policy, policy_digest
from mlflow_ext.registry.signing import load_key

FUTURE = "2999-01-01"


@pytest.fixture
def shop(gated):
    """Versions 1 and 2; version 1 has evidence and could be promoted."""
    gated.add_versions(2)
    gated.line = gated.judge(1)
    return gated


@pytest.fixture
def why_not(shop):
    """Try to promote; return the reason why that was refused."""

    def promote(version=1, model=MODEL):
        before = shop.state(model)
        with pytest.raises(MlflowException) as error:
            shop.promote(version, model)
        assert error.value.error_code == "PERMISSION_DENIED"
        assert shop.state(model) == before
        return error.value.message

    return promote


@on_each_database
def test_evidence_that_nobody_touched_promotes(shop):
    assert shop.promote(1).current_stage == "Production"


@pytest.mark.parametrize("change", ["edited", "added", "removed", "renamed"])
def test_swapped_files_are_noticed(shop, why_not, change):
    folder = shop.folder / "files" / "0"
    if change == "edited":
        (folder / "MLmodel").write_text("flavors: {} # 1")
    elif change == "added":
        (folder / "more.pkl").write_text("")
    elif change == "removed":
        (folder / "MLmodel").unlink()
    else:
        (folder / "MLmodel").rename(folder / "MLmodel2")
    expected = "cannot be read" if change == "removed" else "have changed"
    assert f"it does not count: the model's files {expected}" in why_not()


def test_files_that_are_restored_count_again(shop, why_not):
    file = shop.folder / "files" / "0" / "MLmodel"
    before = file.read_text()
    file.write_text("others")
    why_not()
    file.write_text(before)
    assert shop.promote(1).current_stage == "Production"


def test_evidence_of_another_version_does_not_count(shop, why_not):
    shop.add_evidence(2, shop.line.body["envelope"])
    told = why_not(2)
    assert "it is about version 1; the model's files have changed" in told


def test_evidence_of_another_model_does_not_count(shop, why_not):
    shop.add_versions(1, "other")
    shop.add_evidence(1, shop.line.body["envelope"], "other")
    assert "it is about model 'delay'" in why_not(1, "other")


LIES = {
    "workspace": ("elsewhere", "it is about workspace 'elsewhere'"),
    "version_created_ms": (1, "another version 2, made at another time"),
    "model_digest": ("0" * 64, "the model's files have changed"),
}


@pytest.mark.parametrize("field", LIES)
def test_evidence_that_is_bound_to_something_else_does_not_count(shop, why_not, field):
    value, reason = LIES[field]
    shop.add_evidence(2, shop.sign(shop.bind(2, **{field: value})))
    assert reason in why_not(2)


def test_evidence_from_the_future_does_not_count(shop, why_not):
    later = int(datetime.now(UTC).timestamp() * 1000) + 3_600_000
    shop.add_evidence(2, shop.sign(shop.bind(2), created_ms=later))
    assert "dated in the future" in why_not(2)


def edit_body(shop, change):
    """Rewrite the body of the evidence line in the database, and leave its hash alone."""
    body = json.loads(json.dumps(shop.line.body))
    change(body)
    where = "UPDATE mlflow_ext_ledger SET body = :body WHERE seq = :seq"
    assert shop.execute(where, body=canonical(body), seq=shop.line.seq) == 1


def forge_payload(body):
    body["envelope"]["payload"] = "e30="


EDITS = {
    "payload": forge_payload,
    "signature": lambda body: body["envelope"]["signatures"][0].update(sig="AAAA"),
    "gate beside the envelope": lambda body: body["report"].update(gate="data"),
    "one more key": lambda body: body.update(extra=1),
}


@on_each_database
@pytest.mark.parametrize("what", EDITS)
def test_an_edited_line_does_not_count(shop, why_not, what):
    edit_body(shop, EDITS[what])
    assert f"line {shop.line.seq} of the ledger (evidence of model 'delay') was" in why_not()
    [found] = shop.breaks()
    assert (found.seq, found.id) == (shop.line.seq, shop.line.id)


def test_editing_away_a_failed_gate_does_not_help(shop, why_not):
    failed = shop.judge(1, verdict=Verdict.FAILED, gate="data")
    assert "no failed gate: data failed" in why_not()
    edited = "UPDATE mlflow_ext_ledger SET body = replace(body, 'sig', 'gis') WHERE seq = :seq"
    assert shop.execute(edited, seq=failed.seq) == 1
    assert f"line {failed.seq} of the ledger" in why_not()


def test_a_line_that_is_moved_to_another_version_does_not_count(shop, why_not):
    created = shop.bind(2).version_created_ms
    moved = "UPDATE mlflow_ext_ledger SET version = 2, version_created_ms = :c WHERE seq = :seq"
    assert shop.execute(moved, c=created, seq=shop.line.seq) == 1
    assert f"line {shop.line.seq} of the ledger (evidence of model 'delay') was" in why_not(2)
    assert "no report" in why_not(1)


def test_a_forged_line_with_a_hash_of_its_own_does_not_count(shop, why_not):
    """Whoever can compute hashes still cannot sign."""
    envelope = shop.sign(shop.bind(2))
    envelope["payload"] = shop.line.body["envelope"]["payload"]
    shop.add_evidence(2, envelope)
    assert "the signature does not hold" in why_not(2)


def test_a_revoked_piece_of_evidence_does_not_count(shop, why_not):
    shop.append(Kind.REVOCATION, {"entry": shop.line.id, "reason": "wrong data"}, MODEL, 1)
    assert "it does not count: it was revoked" in why_not()


def set_keys(shop, *keys):
    """Let the policy trust *keys* and no other."""
    rule = {"alias": "champion", "min_passed": 1, "trust": "attested"}
    values = {"name": "keys", "stages": {"Production": rule}, "keys": list(keys)}
    policy = parse_policy(values)
    body = {"policy": dump_policy(policy), "digest": policy_digest(policy), "reason": "test"}
    return shop.append(Kind.POLICY, body)


def test_a_listed_key_counts(shop):
    set_keys(shop, {"public_key": shop.key.public_key, "expires": FUTURE})
    assert shop.promote(1).current_stage == "Production"


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ({"expires": "2020-01-01"}, "its key expired on 2020-01-01"),
        ({"revoked": "2020-01-01"}, "its key was revoked on 2020-01-01"),
        ({"expires": FUTURE, "revoked": "2020-01-01"}, "its key was revoked on 2020-01-01"),
    ],
)
def test_a_key_that_no_longer_holds_does_not_count(shop, why_not, dates, reason):
    set_keys(shop, {"public_key": shop.key.public_key, **dates})
    assert reason in why_not()


def test_a_key_that_is_not_listed_does_not_count(shop, why_not):
    other = load_key(shop.folder / "other.pem")
    set_keys(shop, {"public_key": other.public_key})
    assert f"the policy does not trust key {shop.key.key_id[:12]}…" in why_not()


def test_an_edited_list_of_keys_stops_every_decision(shop, why_not):
    line = set_keys(shop, {"public_key": load_key(shop.folder / "other.pem").public_key})
    body = {**line.body, "policy": dump_policy(EVIDENCE)}
    edited = "UPDATE mlflow_ext_ledger SET body = :body WHERE seq = :seq"
    shop.execute(edited, body=canonical(body), seq=line.seq)
    assert f"line {line.seq} of the ledger (policy of model 'delay') was edited" in why_not()


def test_only_the_registrys_own_key_can_say_recomputed(shop, why_not, server_key):
    rule = {"alias": "champion", "min_passed": 1, "trust": "recomputed"}
    policy = parse_policy({"name": "recompute", "stages": {"Production": rule}})
    body = {"policy": dump_policy(policy), "digest": policy_digest(policy), "reason": "test"}
    shop.append(Kind.POLICY, body)
    binding = shop.bind(2, trust=Trust.RECOMPUTED)
    shop.add_evidence(2, shop.sign(binding))
    assert "passed, but only attested" in why_not(2)
    shop.add_evidence(2, shop.sign(binding, key=load_key(server_key)))
    assert shop.promote(2).current_stage == "Production"
