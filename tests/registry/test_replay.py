"""Past decisions taken again: the ledger alone says which of them would come out differently."""

import json
from dataclasses import asdict, replace

import pytest

from mlflow_ext.errors import LedgerError
from mlflow_ext.records import (
    Attestation,
    Entry,
    Kind,
    Trust,
    Verdict,
    Vote,
    to_dict,
)
from mlflow_ext.registry.policy import Dossier, PromotionRequest, decide
from mlflow_ext.registry.replay import replay, whatif
from mlflow_ext.registry.revocation import point_at
from mlflow_ext.registry.rules import (
    EVIDENCE,
    OPEN,
    ApprovalRule,
    Policy,
    StagePolicy,
    dump_policy,
    policy_digest,
)

FOUR_EYES = Policy(
    name="four-eyes",
    stages={"Production": StagePolicy(alias="champion", approvals=ApprovalRule())},
)


class Book:
    """A ledger in memory, written as the registry writes it."""

    def __init__(self, policy=EVIDENCE):
        self.policy = policy
        self.entries = []
        self.evidence = []
        self.votes = []

    def append(self, kind, body, version=1, stage=None, actor="ann"):
        number = len(self.entries) + 1
        entry = Entry(
            id=number + 100,
            workspace="default",
            seq=number,
            kind=kind,
            model="delay",
            version=version,
            version_created_ms=7,
            stage=stage,
            time_ms=number,
            actor=actor,
            is_claimed=True,
            client="test",
            body=json.loads(json.dumps(body)),
            previous="",
            hash="",
        )
        self.entries.append(entry)
        return entry

    def attest(self, gate="metrics", verdict=Verdict.PASSED):
        report = {"gate": gate, "verdict": verdict}
        line = self.append(Kind.EVIDENCE, {"envelope": {}, "report": report, "trust": "attested"})
        self.evidence.append(
            Attestation(
                id=line.id,
                gate=gate,
                verdict=verdict,
                trust=Trust.ATTESTED,
                config_digest="c",
                created_ms=line.time_ms,
            )
        )
        return line

    def approve(self, actor="bob"):
        line = self.append(Kind.APPROVAL, {"reason": "fine"}, stage="Production", actor=actor)
        self.votes.append(
            Vote(id=line.id, actor=actor, is_approval=True, to_stage="Production", time_ms=1)
        )
        return line

    def set_policy(self, policy):
        self.policy = policy
        body = {"policy": dump_policy(policy), "digest": policy_digest(policy), "reason": "new"}
        return self.append(Kind.POLICY, body, version=None)

    def decide(self, to_stage="Production"):
        """Take a decision and write it down with what followed."""
        request = PromotionRequest(
            model="delay", version=1, to_stage=to_stage, actor="ann", reason="better"
        )
        dossier = Dossier(
            stages={1: "Staging", 2: "Production"},
            attestations=tuple(self.evidence),
            votes=tuple(self.votes),
            now_ms=len(self.entries) + 1,
        )
        decision = decide(self.policy, request, dossier)
        body = {
            "request": asdict(request),
            "dossier": asdict(dossier),
            "policy_digest": policy_digest(self.policy),
            "decision": to_dict(decision),
            "transition": {} if decision.is_allowed else None,
        }
        kind = Kind.TRANSITION if decision.is_allowed else Kind.REFUSAL
        return self.append(kind, body, stage=to_stage)

    def alter(self, entry, change):
        """Put *entry* back with its body changed."""
        body = json.loads(json.dumps(entry.body))
        change(body)
        self.entries[entry.seq - 1] = replace(entry, body=body)


def reasons(book):
    return [why for one in replay(book.entries).different for why in one.why]


def test_what_was_decided_is_decided_again():
    book = Book()
    book.decide()
    book.attest()
    book.decide()
    book.attest(verdict=Verdict.FAILED)
    book.decide()
    book.set_policy(FOUR_EYES)
    book.decide()
    book.approve()
    book.decide()
    kinds = [entry.kind for entry in book.entries if "request" in entry.body]
    assert kinds == ["refusal", "transition", "refusal", "refusal", "transition"]
    assert replay(iter(book.entries)) == replay(book.entries)
    assert (replay(book.entries).replayed, replay(book.entries).different) == (5, ())


def test_the_archiving_of_what_was_replaced_is_no_decision():
    book = Book()
    book.append(Kind.TRANSITION, {"transition": {"version": 2}}, version=2, stage="Archived")
    assert replay(book.entries).replayed == 0
    assert whatif(book.entries, EVIDENCE).decisions == 0


def test_an_answer_that_the_dossier_does_not_give_is_told():
    book = Book()
    entry = book.decide()

    def pretend(body):
        body["decision"]["requirements"] = []

    book.alter(entry, pretend)
    (one,) = replay(book.entries).different
    assert (one.id, one.seq, one.version, one.to_stage) == (101, 1, 1, "Production")
    assert one.why == ("then: yes", "now: at least 1 passed gate: no report")


def test_a_dossier_that_says_more_than_the_ledger_is_told():
    book = Book()
    line = book.attest(verdict=Verdict.FAILED)
    book.evidence[0] = replace(book.evidence[0], verdict=Verdict.PASSED)
    book.decide()
    assert reasons(book) == [f"evidence {line.id} says metrics failed"]


def test_evidence_that_the_ledger_lacks_is_told():
    book = Book()
    line = book.attest()
    book.decide()
    book.entries.remove(line)
    assert reasons(book) == [f"evidence {line.id} is not in the ledger"]


def test_evidence_that_came_after_the_decision_is_told():
    book = Book()
    line = book.attest()
    book.decide()
    assert [why for one in replay(reversed(book.entries)).different for why in one.why] == [
        f"evidence {line.id} is not in the ledger"
    ]


def test_evidence_that_was_left_out_is_told():
    book = Book()
    book.attest()
    line = book.attest("fairness", Verdict.FAILED)
    book.evidence.pop()
    book.decide()
    assert reasons(book) == [f"evidence {line.id} was left out"]


@pytest.mark.parametrize(
    "other", [{"version": 2}, {"version_created_ms": 8}, {"model": "x"}, {"workspace": "x"}]
)
def test_evidence_about_another_version_is_told(other):
    book = Book()
    line = book.attest()
    book.decide()
    book.entries[0] = replace(line, **other)
    assert reasons(book) == [f"evidence {line.id} is about another version"]


@pytest.mark.parametrize("is_old", [True, False], ids=["by number", "by hash"])
@pytest.mark.parametrize("problem", ["", "it was revoked"])
def test_revoked_evidence_may_be_in_a_dossier_but_must_not_count(problem, is_old):
    book = Book()
    line = book.attest()
    named = {"entry": line.id} if is_old else {**point_at(line), "entry": 4_711}
    book.append(Kind.REVOCATION, {**named, "reason": "wrong data"})
    book.evidence[0] = replace(book.evidence[0], problem=problem)
    book.decide()
    assert reasons(book) == ([] if problem else [f"evidence {line.id} had been revoked"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": Kind.REJECTION}, "vote 101 is not in the ledger"),
        ({"version": 2}, "vote 101 is not in the ledger"),
        ({"actor": "ann"}, "vote 101 is of ann about Production"),
        ({"stage": "Staging"}, "vote 101 is of bob about Staging"),
    ],
)
def test_a_vote_that_the_ledger_tells_otherwise_is_told(change, words):
    book = Book()
    line = book.approve()
    book.decide()
    book.entries[0] = replace(line, **change)
    assert reasons(book) == [words]


def test_a_policy_that_is_not_in_the_ledger_is_told_unless_the_decision_carries_it():
    book = Book(FOUR_EYES)
    line = book.decide()
    missing = [f"its policy {policy_digest(FOUR_EYES)} is not in the ledger"]
    assert reasons(book) == missing
    book.entries[-1] = replace(line, body={**line.body, "policy": dump_policy(FOUR_EYES)})
    assert reasons(book) == []
    book.entries[-1] = replace(line, body={**line.body, "policy": dump_policy(EVIDENCE)})
    assert reasons(book) == missing


def test_an_edited_policy_is_another_policy():
    book = Book()
    entry = book.set_policy(FOUR_EYES)
    book.decide()
    book.alter(entry, lambda body: body["policy"]["stages"].clear())
    assert "is not in the ledger" in reasons(book)[0]
    book.alter(entry, lambda body: body["policy"].update(stages=[]))
    assert "is not in the ledger" in reasons(book)[0]


def test_a_decision_that_cannot_be_read_is_no_verdict():
    book = Book()
    book.alter(book.decide(), lambda body: body["dossier"].pop("stages"))
    with pytest.raises(LedgerError, match=r"line 1 of the ledger: 'dossier.stages'"):
        replay(book.entries)


def test_another_policy_blocks_what_it_would_not_have_allowed_and_releases_the_rest():
    book = Book()
    refused = book.decide()
    book.attest()
    allowed = book.decide()
    stricter = whatif(book.entries, FOUR_EYES)
    assert (stricter.decisions, [one.id for one in stricter.would_block]) == (2, [allowed.id])
    assert stricter.would_block[0].why == ("1 approval, not of an author: none",)
    assert stricter.would_release == ()
    looser = whatif(book.entries, OPEN)
    assert [one.id for one in looser.would_release] == [refused.id]
    assert looser.would_release[0].why == ("at least 1 passed gate: no report",)
    assert (looser.would_block, looser.would_release[0].was_allowed) == ((), False)


def test_the_policy_that_decided_would_decide_the_same():
    book = Book()
    book.decide()
    book.attest()
    book.decide()
    same = whatif(book.entries, EVIDENCE)
    assert (same.decisions, same.would_block, same.would_release) == (2, (), ())


def test_only_the_rules_matter_to_a_replay_not_their_words():
    book = Book()

    def reword(body):
        body["decision"]["requirements"][1]["found"] = "in other words"

    book.alter(book.decide(), reword)
    assert replay(book.entries).different == ()
