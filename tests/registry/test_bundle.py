"""Bundles: what they hold, and what cannot be changed in one without being told."""

import base64
import copy
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlflow_ext.records import Check, Entry, GateReport, Kind, Trust, Verdict
from mlflow_ext.registry.bundle import check_bundle, make_bundle, seal_bundle
from mlflow_ext.registry.chain import entry_hash
from mlflow_ext.registry.revocation import point_at
from mlflow_ext.registry.rules import EVIDENCE, Policy, TrustedKey, dump_policy
from mlflow_ext.registry.signing import SigningKey, seal
from mlflow_ext.registry.statement import Binding, Expected, attest_imported, make_statement

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
FILES, OTHER_FILES = "a" * 64, "b" * 64
POLICY = dump_policy(EVIDENCE)


def sign(gate, model_digest=FILES):
    check = Check(name="roc_auc", verdict=Verdict.PASSED, expected=">= 0.67", observed=0.7)
    report = GateReport(
        gate=gate,
        subject="models:/delay/3",
        checks=(check,),
        fingerprints={},
        config_digest="c" * 64,
        created_ms=0,
    )
    binding = Binding(
        workspace="dev",
        model="delay",
        version=3,
        version_created_ms=1_000,
        model_digest=model_digest,
        actor="ann",
        trust=Trust.ATTESTED,
    )
    return seal(KEY, make_statement(report, binding))


def make_chain(*lines):
    """Ledger lines with the given numbers, kinds and bodies, each linked to the one before it."""
    entries, previous = [], ""
    for seq, kind, body in lines:
        if entries and seq != entries[-1].seq + 1:
            previous = "e" * 64  # of a line about something else
        entry = Entry(
            id=seq + 100,
            workspace="dev",
            seq=seq,
            kind=kind,
            model="delay",
            version=3,
            version_created_ms=1_000,
            stage=None,
            time_ms=2_000 + seq,
            actor="ann",
            is_claimed=True,
            client="test",
            body=body,
            previous=previous,
            hash="",
        )
        entries.append(replace(entry, hash=entry_hash(entry)))
        previous = entries[-1].hash
    return entries


def evidence(envelope):
    return {"envelope": envelope, "report": {"gate": "metrics", "verdict": "passed"}}


METRICS, CHAMPION, STALE = sign("metrics"), sign("champion"), sign("metrics", OTHER_FILES)
CHAIN = make_chain(
    (4, Kind.REGISTRATION, {}),
    (5, Kind.EVIDENCE, evidence(METRICS)),
    (6, Kind.EVIDENCE, evidence(STALE)),
    (9, Kind.EVIDENCE, evidence(CHAMPION)),
    (10, Kind.REVOCATION, {"entry": 109, "reason": "wrong data"}),
    (12, Kind.APPROVAL, {"to_stage": "Production", "reason": "größer ist besser"}),
)


def through_json(bundle):
    return json.loads(json.dumps(bundle))


def sealed():
    """A bundle as it travels."""
    return through_json(seal_bundle(make_bundle(CHAIN, POLICY, FILES), KEY))


def test_a_bundle_holds_the_standing_evidence_about_these_files_and_every_line():
    bundle = sealed()
    assert bundle["format"] == "mlflow-ext-bundle/1"
    assert bundle["envelopes"] == [METRICS], "one is about other files, one was withdrawn"
    assert [entry["seq"] for entry in bundle["entries"]] == [4, 5, 6, 9, 10, 12]
    assert (bundle["policy"], bundle["model_digest"]) == (POLICY, FILES)
    assert check_bundle(bundle) == []


def test_its_evidence_counts_on_another_registry_for_the_same_files_only():
    (envelope,) = sealed()["envelopes"]
    policy = Policy(name="prod", keys=(TrustedKey(public_key=KEY.public_key),))
    here = Expected(
        workspace="prod",
        model="late",
        version=1,
        version_created_ms=9_000,
        model_digest=FILES,
        server_key_id="",
        now_ms=10_000,
    )
    assert attest_imported(envelope, here, policy).problem == ""
    swapped = replace(here, model_digest=OTHER_FILES)
    assert attest_imported(envelope, swapped, policy).problem == "the model's files have changed"


def change_line(field, value):
    return lambda bundle: bundle["entries"][1].update({field: value})


def rehash(bundle, place, **fields):
    """Change a line and hash it again, as a forger would."""
    entries = [Entry(**values | {"kind": Kind(values["kind"])}) for values in bundle["entries"]]
    forged = replace(entries[place], **fields)
    bundle["entries"][place] |= fields | {"hash": entry_hash(forged)}


def drop_seal(bundle):
    del bundle["seal"]


def drop(key, place):
    return lambda bundle: bundle[key].pop(place)


CHANGED = "it was changed after it was signed"
EDITS = {
    "an unreadable policy": (
        lambda bundle: bundle.update(policy={"nmae": "x"}),
        ["its policy cannot be read: the policy: unknown key 'nmae'"],
    ),
    "an actor": (change_line("actor", "bob"), ["line 5 was edited"]),
    "a time": (change_line("time_ms", 0), ["line 5 was edited"]),
    "a hash": (
        change_line("hash", "0" * 64),
        ["line 5 was edited", "line 6 does not continue the line before it"],
    ),
    "a line hashed again": (
        lambda bundle: rehash(bundle, 1, actor="bob"),
        ["line 6 does not continue the line before it"],
    ),
    "lines out of order": (
        lambda bundle: bundle["entries"].reverse(),
        [f"line {seq} is out of order" for seq in (10, 9, 6, 5, 4)],
    ),
    "a line of another workspace": (
        lambda bundle: rehash(bundle, 5, workspace="prod"),
        ["line 12 is of another workspace"],
    ),
    "a withdrawal without effect": (
        lambda bundle: bundle["envelopes"].append(CHAMPION),
        ["envelope 2 is not that of a line, or was withdrawn"],
    ),
    "evidence from nowhere": (
        lambda bundle: bundle["envelopes"].append(sign("data")),
        ["envelope 2 is not that of a line, or was withdrawn"],
    ),
    "evidence about other files": (
        lambda bundle: bundle["envelopes"].append(STALE),
        ["envelope 2: it is about other files"],
    ),
    "evidence without its line": (
        drop("entries", 1),
        ["envelope 1 is not that of a line, or was withdrawn"],
    ),
    "a broken signature": (
        lambda bundle: bundle["envelopes"][0].update(payload=STALE["payload"]),
        [
            "envelope 1 is not that of a line, or was withdrawn",
            "envelope 1: the signature does not hold",
            "the evidence of line 5 was left out",
        ],
    ),
    "the line that was withdrawn": (
        drop("entries", 3),
        ["what line 10 withdraws was left out"],
    ),
    "no evidence": (
        drop("envelopes", 0),
        ["it holds no evidence about these files", "the evidence of line 5 was left out"],
    ),
    "other files": (
        lambda bundle: bundle.update(model_digest=OTHER_FILES),
        ["envelope 1: it is about other files", "the evidence of line 6 was left out"],
    ),
}


@pytest.mark.parametrize(("edit", "problems"), EDITS.values(), ids=EDITS)
def test_an_edit_is_told_even_if_the_forger_signs_it(edit, problems):
    bundle = sealed()
    edit(bundle)
    assert check_bundle(bundle) == [CHANGED, *problems]
    assert check_bundle(through_json(seal_bundle(bundle, KEY))) == problems


def leave_out_the_withdrawn(bundle):
    """Drop a line with its envelope so that all that is left still fits together."""
    bundle["entries"] = [e for e in bundle["entries"] if e["seq"] not in (9, 10)]


def break_the_seal(bundle):
    bundle["seal"]["payload"] = METRICS["payload"]


def put_another_seal(bundle):
    bundle["seal"] = METRICS


FORGED = {
    "lines left out": (leave_out_the_withdrawn, CHANGED),
    "another policy": (lambda bundle: bundle.update(policy={"name": "lax"}), CHANGED),
    "no seal": (drop_seal, "it is not signed"),
    "an empty seal": (lambda bundle: bundle.update(seal={}), "its seal: no DSSE envelope"),
    "a seal that does not hold": (break_the_seal, "its seal: the signature does not hold"),
    "the seal of something else": (put_another_seal, CHANGED),
}


@pytest.mark.parametrize(("forge", "problem"), FORGED.values(), ids=FORGED)
def test_what_only_the_seal_can_tell_is_told(forge, problem):
    bundle = sealed()
    forge(bundle)
    [told] = check_bundle(bundle)
    assert told.startswith(problem)


def test_a_seal_is_no_evidence():
    assert check_bundle(sealed() | {"envelopes": [METRICS, sealed()["seal"]]})[1:] == [
        "envelope 2 is not that of a line, or was withdrawn",
        "envelope 2: 'predicateType' of the statement is 'urn:mlflow-ext:bundle:v1'",
    ]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("format", "mlflow-ext-bundle/2", "'format' of the bundle"),
        ("model_digest", "", "'model_digest' of the bundle"),
        ("envelopes", ["x"], "'envelopes.0' of the bundle"),
        ("entries", [{}], "'entries.0.id' of the bundle"),
        ("surprise", 1, "'surprise' of the bundle"),
    ],
)
def test_what_is_no_bundle_is_told_by_its_field(key, value, problem):
    bundle = sealed() | {key: value}
    assert check_bundle(bundle)[0].startswith(problem)


@pytest.mark.parametrize(
    "body",
    [{}, {"entry": [1]}, {"entry": None, "hash": {}}, {"seq": "x", "hash": 3}],
)
def test_a_withdrawal_of_nonsense_is_told(body):
    entries = make_chain((5, Kind.EVIDENCE, evidence(METRICS)), (6, Kind.REVOCATION, body))
    bundle = seal_bundle(make_bundle(entries, POLICY, FILES), KEY)
    assert check_bundle(through_json(bundle)) == ["what line 6 withdraws was left out"]


def test_evidence_that_is_no_envelope_is_not_carried():
    entries = make_chain(
        (5, Kind.EVIDENCE, evidence(METRICS)), (6, Kind.EVIDENCE, {"envelope": "x"})
    )
    bundle = through_json(seal_bundle(make_bundle(entries, POLICY, FILES), KEY))
    assert (bundle["envelopes"], check_bundle(bundle)) == ([METRICS], [])


def test_evidence_that_was_withdrawn_and_signed_again_by_another_key_stays_withdrawn():
    other = SigningKey(Ed25519PrivateKey.from_private_bytes(b"1" * 32))
    again = other.sign(base64.b64decode(METRICS["payload"]))
    told = make_chain((5, Kind.EVIDENCE, evidence(METRICS)))
    entries = make_chain(
        (5, Kind.EVIDENCE, evidence(METRICS)),
        (6, Kind.REVOCATION, {**point_at(told[0]), "reason": "wrong data"}),
        (7, Kind.EVIDENCE, evidence(again)),
    )
    assert not make_bundle(entries, POLICY, FILES)["envelopes"]


@pytest.mark.parametrize("anything", [None, [], "bundle", {}, 3])
def test_whatever_comes_in_is_answered(anything):
    assert check_bundle(anything) != []


def test_making_a_bundle_changes_nothing():
    before = copy.deepcopy(CHAIN)
    make_bundle(CHAIN, POLICY, FILES)
    assert before == CHAIN
