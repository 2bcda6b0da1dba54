"""What evidence says, and each reason for which it does not count."""

import json
import math
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.errors import StatementError
from mlflow_ext.records import Check, GateReport, Severity, Trust, Verdict
from mlflow_ext.registry.rules import Policy, TrustedKey
from mlflow_ext.registry.signing import SigningKey, open_envelope, seal
from mlflow_ext.registry.statement import (
    Binding,
    Expected,
    attest,
    attest_imported,
    make_statement,
    read_statement,
)

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
SERVER = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
ANYBODY = Policy(name="anybody")
NOW = 1_800_000_000_000  # 2027-01-15T08:00:00Z
EXPECTED = Expected(
    workspace="default",
    model="delay",
    version=3,
    version_created_ms=1_000,
    model_digest="a" * 64,
    server_key_id=SERVER.key_id,
    now_ms=NOW,
)


def make_check(name="roc_auc", observed=0.7, verdict=Verdict.PASSED, **fields):
    return Check(name=name, verdict=verdict, expected=">= 0.67", observed=observed, **fields)


def make_report(*checks, **fields):
    values = {
        "gate": "metrics",
        "subject": "models:/delay/3",
        "checks": checks or (make_check(),),
        "fingerprints": {"features": "f" * 64},
        "config_digest": "c" * 64,
        "created_ms": NOW - 60_000,
    }
    return GateReport(**(values | fields))


def make_binding(**fields):
    values = {
        "workspace": "default",
        "model": "delay",
        "version": 3,
        "version_created_ms": 1_000,
        "model_digest": "a" * 64,
        "environment_digest": "e" * 64,
        "actor": "ann",
        "trust": Trust.ATTESTED,
    }
    return Binding(**(values | fields))


def sign(report=None, key=KEY, **fields):
    return seal(key, make_statement(report or make_report(), make_binding(**fields)))


def trusting(*keys, **fields):
    return Policy(
        name="keys", keys=tuple(TrustedKey(public_key=k.public_key, **fields) for k in keys)
    )


def problem(envelope, policy=ANYBODY, **changes):
    return attest(envelope, replace(EXPECTED, **changes), policy).problem


CHECKS = st.builds(
    Check,
    name=st.text(min_size=1),
    verdict=st.sampled_from(Verdict),
    expected=st.text(),
    observed=st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(),
    interval=st.none() | st.tuples(st.floats(), st.floats()),
    rows=st.none() | st.integers(0, 2**53),
    slice=st.none() | st.text(),
    severity=st.sampled_from(Severity),
    reason=st.text(),
)


@given(st.lists(CHECKS, max_size=4))
def test_a_signed_report_comes_back_as_it_was(checks):
    report = make_report(checks=tuple(checks))
    read, binding = read_statement(open_envelope(sign(report), KEY.public_key))
    assert repr(read) == repr(with_texts_for_odd_numbers(report))
    assert binding == make_binding()


def with_texts_for_odd_numbers(report):
    """An observation that JSON has no number for is read as text; an interval has a type."""
    names = {math.inf: "Infinity", -math.inf: "-Infinity"}
    return replace(
        report,
        checks=tuple(
            replace(c, observed=names.get(c.observed, "NaN"))
            if isinstance(c.observed, float) and not math.isfinite(c.observed)
            else c
            for c in report.checks
        ),
    )


def test_a_statement_is_in_toto_about_the_files_of_the_version():
    statement = make_statement(make_report(), make_binding())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "models:/delay/3", "digest": {"sha256": "a" * 64}}]
    assert statement["predicateType"] == "urn:mlflow-ext:gate-report:v1"
    predicate = statement["predicate"]
    assert predicate["verdict"] == "passed"
    assert predicate["report"]["checks"][0]["expected"] == ">= 0.67"


def test_a_report_about_another_version_cannot_be_bound():
    with pytest.raises(StatementError, match=r"subject.*models:/delay/2"):
        make_statement(make_report(subject="models:/delay/2"), make_binding())


REMOVED = object()


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["_type"], "https://in-toto.io/Statement/v0.1", "'_type'"),
        (["predicateType"], "https://slsa.dev/provenance/v1", "'predicateType'"),
        (["predicate"], None, "'predicate'"),
        (["predicate", "binding"], REMOVED, "'predicate.binding'"),
        (["predicate", "binding", "model_digest"], "abc", "'predicate.binding.model_digest'"),
        (["predicate", "binding", "version"], 0, "'predicate.binding.version'"),
        (["predicate", "binding", "version"], 4, "'subject'"),
        (["predicate", "binding", "model"], "else", "'subject'"),
        (["predicate", "binding", "note"], "x", "'predicate.binding.note'"),
        (["predicate", "binding", "trust"], "absolute", "'predicate.binding.trust'"),
        (["predicate", "report", "created_ms"], REMOVED, "'predicate.report.created_ms'"),
        (["predicate", "report", "subject"], "table:x", "'predicate.report.subject'"),
        (["predicate", "report", "note"], "x", "'predicate.report.note'"),
        (["predicate", "verdict"], "failed", "'predicate.verdict'"),
        (["predicate", "verdict"], REMOVED, "'predicate.verdict'"),
        (["subject"], [], "'subject'"),
        (["subject", 0, "digest", "sha256"], "b" * 64, "'subject'"),
    ],
)
def test_a_statement_that_is_not_whole_is_told_by_its_field(path, value, told):
    statement = json.loads(json.dumps(make_statement(make_report(), make_binding())))
    *parents, last = path
    owner = statement
    for part in parents:
        owner = owner[part]
    if value is REMOVED:
        del owner[last]
    else:
        owner[last] = value
    with pytest.raises(StatementError, match=told):
        read_statement(statement)
    assert told in problem(seal(KEY, statement))


def test_evidence_says_what_the_gate_said():
    report = make_report(
        make_check(),
        make_check("f1", observed=0.1, verdict=Verdict.FAILED),
        make_check("f1", observed=0.05, slice="carrier=UA", severity=Severity.WARN),
        make_check("has_rows", observed=True),
        make_check("nothing", observed=None),
        make_check("undefined", observed=math.nan),
    )
    evidence = attest(sign(report), EXPECTED, ANYBODY, 17)
    assert (evidence.id, evidence.gate, evidence.verdict) == (17, "metrics", Verdict.FAILED)
    assert evidence.observed == {"roc_auc": 0.7, "f1": 0.1, "f1 [carrier=UA]": 0.05}
    assert evidence.reasons == ("f1 failed: observed 0.1, expected >= 0.67",)
    assert (evidence.config_digest, evidence.created_ms) == ("c" * 64, NOW - 60_000)
    assert (evidence.signer, evidence.problem) == (KEY.key_id, "")


def test_of_two_numbers_under_one_name_a_minimum_meets_the_lower():
    report = make_report(make_check(observed=0.9), make_check(observed=0.6))
    assert attest(sign(report), EXPECTED, ANYBODY).observed == {"roc_auc": 0.6}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"workspace": "team-b"}, "it is about workspace 'default'"),
        ({"model": "other"}, "it is about model 'delay'"),
        ({"version": 4}, "it is about version 3"),
        ({"version_created_ms": 2_000}, "another version 3, made at another time"),
        ({"model_digest": "b" * 64}, "the model's files have changed"),
        ({"model_digest": ""}, "the model's files cannot be read"),
        ({"now_ms": NOW - 600_000}, "it is dated in the future"),
        ({"now_ms": NOW - 100_000}, ""),
        ({}, ""),
    ],
)
def test_evidence_counts_only_for_what_it_is_about(changes, told):
    assert told in problem(sign(), **changes)
    assert bool(told) == bool(problem(sign(), **changes))


def test_everything_that_is_wrong_is_told_at_once():
    told = problem(sign(), trusting(SERVER), version=4, model_digest="b" * 64)
    assert told == (
        "it is about version 3; the model's files have changed; "
        f"the policy does not trust key {KEY.key_id[:12]}…"
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ""),
        ({"expires": "2027-01-15"}, "its key expired on 2027-01-15"),
        ({"expires": "2027-01-16"}, ""),
        ({"expires": "2027-01-15T09:00:00+02:00"}, "its key expired"),
        ({"expires": "2027-01-15T09:00:00+00:00"}, ""),
        ({"revoked": "2027-01-14"}, "its key was revoked on 2027-01-14"),
        ({"revoked": "2027-02-01"}, ""),
    ],
)
def test_a_key_counts_until_it_expires_or_is_revoked(fields, told):
    assert told in problem(sign(), trusting(KEY, **fields))
    assert bool(told) == bool(problem(sign(), trusting(KEY, **fields)))


def test_a_revoked_key_does_not_count_for_the_servers_own_evidence_either():
    envelope = sign(key=SERVER, trust=Trust.RECOMPUTED)
    assert "revoked" in problem(envelope, trusting(SERVER, revoked="2020-01-01"))


@pytest.mark.parametrize(
    ("key", "said", "policy", "trust", "counts"),
    [
        (KEY, Trust.ATTESTED, ANYBODY, Trust.ATTESTED, True),
        (KEY, Trust.CLAIMED, trusting(KEY), Trust.ATTESTED, True),
        (KEY, Trust.ATTESTED, trusting(SERVER), Trust.CLAIMED, False),
        (KEY, Trust.ATTESTED, trusting(), Trust.CLAIMED, False),
        (KEY, Trust.RECOMPUTED, trusting(KEY), Trust.ATTESTED, True),
        (KEY, Trust.RECOMPUTED, trusting(), Trust.CLAIMED, False),
        (SERVER, Trust.RECOMPUTED, trusting(KEY), Trust.RECOMPUTED, True),
        (SERVER, Trust.ATTESTED, ANYBODY, Trust.ATTESTED, True),
        (SERVER, Trust.ATTESTED, trusting(KEY), Trust.CLAIMED, False),
    ],
)
def test_trust_comes_from_the_key_and_not_from_what_is_said(key, said, policy, trust, counts):
    evidence = attest(sign(key=key, trust=said), EXPECTED, policy)
    assert (evidence.trust, not evidence.problem) == (trust, counts)


def test_a_registry_without_a_key_has_recomputed_nothing():
    expected = replace(EXPECTED, server_key_id="")
    evidence = attest(sign(key=SERVER, trust=Trust.RECOMPUTED), expected, ANYBODY)
    assert evidence.trust is Trust.ATTESTED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_whatever_comes_in_is_answered_and_never_counts(anything):
    for envelope in (anything, seal(KEY, {"predicate": anything}), {**sign(), "payload": anything}):
        evidence = attest(envelope, EXPECTED, ANYBODY)
        assert evidence.problem
        assert (evidence.verdict, evidence.trust) == (Verdict.INCONCLUSIVE, Trust.CLAIMED)


def test_imported_evidence_counts_for_the_same_files_under_another_name():
    envelope = sign()
    here = replace(EXPECTED, workspace="prod", model="late", version=1, version_created_ms=5_000)
    assert attest(envelope, here, ANYBODY).problem
    evidence = attest_imported(envelope, here, trusting(KEY), 8)
    assert (evidence.id, evidence.problem, evidence.trust) == (8, "", Trust.ATTESTED)


@pytest.mark.parametrize(
    ("envelope", "policy", "changes", "told"),
    [
        (sign(), ANYBODY, {"model_digest": "b" * 64}, "the model's files have changed"),
        (sign(), trusting(SERVER), {}, "does not trust key"),
        (sign(), trusting(KEY, expires="2026-01-01"), {}, "expired"),
        ({**sign(), "payload": sign(version_created_ms=2)["payload"]}, ANYBODY, {}, "not hold"),
        ({}, ANYBODY, {}, "no DSSE envelope"),
    ],
)
def test_imported_evidence_is_verified_like_any_other(envelope, policy, changes, told):
    here = replace(EXPECTED, model="late", version=1, **changes)
    assert told in attest_imported(envelope, here, policy).problem


def test_what_another_registry_recomputed_is_attested_here():
    envelope = sign(key=SERVER, trust=Trust.RECOMPUTED)
    assert attest_imported(envelope, EXPECTED, ANYBODY).trust is Trust.ATTESTED
