"""Past decisions taken again, from the ledger alone. Pure.

`replay` asks whether the same policy and the same dossier still give the same answer, and whether
each dossier says what the ledger said before it. `whatif` asks what another policy would have
answered. Each decision is taken by itself: what would have followed from another answer is not
played on, and signatures are as they were judged then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from pydantic import TypeAdapter, ValidationError

from mlflow_ext.errors import LedgerError, PolicyError
from mlflow_ext.records import Attestation, Decision, Entry, Kind, Vote
from mlflow_ext.registry.policy import Dossier, PromotionRequest, decide
from mlflow_ext.registry.revocation import name_target, names_of
from mlflow_ext.registry.rules import BUILT_IN, Policy, parse_policy, policy_digest

TOLD = {Kind.EVIDENCE: "evidence", Kind.APPROVAL: "vote", Kind.REJECTION: "vote"}
Subject = tuple[str, str, int | None, int | None]
"""Workspace, model, version, and when the version was created."""


@dataclass(frozen=True, kw_only=True)
class Redecision:
    """A past decision that comes out differently."""

    id: int
    """Number of its line in the ledger."""
    seq: int
    """Number of the line in its workspace."""
    model: str
    version: int | None
    to_stage: str | None
    actor: str
    time_ms: int
    """When it was taken, in milliseconds since the epoch."""
    was_allowed: bool
    why: tuple[str, ...]
    """What stands in the way, or what does not agree, one line each."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What came of taking every decision again."""

    replayed: int
    different: tuple[Redecision, ...]


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """What another policy would have answered."""

    decisions: int
    would_block: tuple[Redecision, ...]
    """It was allowed and would not be."""
    would_release: tuple[Redecision, ...]
    """It was refused and would not be."""


@dataclass(frozen=True, kw_only=True)
class _Memory:
    """What the ledger has said so far."""

    policies: dict[str, Policy]
    """Digest -> policy."""
    said: dict[int, Entry] = field(default_factory=dict)
    """Evidence and votes, by the number of their line."""
    about: dict[Subject, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Version -> its lines among these."""
    revoked: set[str] = field(default_factory=set)
    """Names of lines, as `mlflow_ext.registry.revocation.name_target`."""


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One decision as the ledger holds it."""

    request: PromotionRequest
    dossier: Dossier
    decision: Decision


def replay(entries: Iterable[Entry]) -> Replay:
    """Take every decision in *entries* again.

    Args:
        entries: Lines of the ledger, oldest first; a decision whose policy, evidence or votes are
            not among the lines before it counts as different.
    """
    memory = _Memory(policies={policy_digest(policy): policy for policy in BUILT_IN.values()})
    replayed, different = 0, []
    for entry in entries:
        if not _is_decision(entry):
            _remember(memory, entry)
            continue
        replayed += 1
        why = tuple(_disagreements(memory, entry))
        if why:
            different.append(_redecide(entry, why))
    return Replay(replayed=replayed, different=tuple(different))


def whatif(entries: Iterable[Entry], policy: Policy) -> WhatIf:
    """Say which decisions in *entries* would have come out differently under *policy*."""
    blocked, released, decisions = [], [], 0
    for entry in filter(_is_decision, entries):
        decisions += 1
        case = _read_case(entry)
        then, now = case.decision, decide(policy, case.request, case.dossier)
        if then.is_allowed and not now.is_allowed:
            blocked.append(_redecide(entry, _obstacles(now)))
        elif now.is_allowed and not then.is_allowed:
            released.append(_redecide(entry, _obstacles(then)))
    return WhatIf(decisions=decisions, would_block=tuple(blocked), would_release=tuple(released))


def _is_decision(entry: Entry) -> bool:
    """Tell it from the archiving of what was replaced, which nobody decides about."""
    return entry.kind in (Kind.TRANSITION, Kind.REFUSAL) and "request" in entry.body


def _remember(memory: _Memory, entry: Entry) -> None:
    if entry.kind is Kind.POLICY:
        try:
            policy = parse_policy(entry.body["policy"])
        except PolicyError:
            return  # whatever it decided will be told as different
        memory.policies[policy_digest(policy)] = policy
    elif entry.kind is Kind.REVOCATION:
        memory.revoked.add(name_target(entry))
    elif entry.kind in (Kind.EVIDENCE, Kind.APPROVAL, Kind.REJECTION):
        memory.said[entry.id] = entry
        memory.about[_subject(entry)].append(entry.id)


def _disagreements(memory: _Memory, entry: Entry) -> Iterator[str]:
    digest = entry.body["policy_digest"]
    case = _read_case(entry)
    policy = memory.policies.get(digest) or _carried(entry, digest)
    if policy is None:
        yield f"its policy {digest} is not in the ledger"
        return
    then, now = case.decision, decide(policy, case.request, case.dossier)
    if (then.is_allowed, _unmet(then)) != (now.is_allowed, _unmet(now)):
        yield f"then: {'; '.join(_obstacles(then)) or 'yes'}"
        yield f"now: {'; '.join(_obstacles(now)) or 'yes'}"
    for attestation in case.dossier.attestations:
        yield from _check_attestation(memory, entry, attestation)
    for vote in case.dossier.votes:
        yield from _check_vote(memory, entry, vote)
    used = {one.id for one in case.dossier.attestations} | {one.id for one in case.dossier.votes}
    left_out = [number for number in memory.about[_subject(entry)] if number not in used]
    yield from (f"{TOLD[memory.said[n].kind]} {n} was left out" for n in left_out)


def _carried(entry: Entry, digest: str) -> Policy | None:
    """Return the policy that a decision carries, as one under a server's own default does."""
    try:
        policy = parse_policy(entry.body.get("policy", {}))
    except PolicyError:
        return None
    return policy if policy_digest(policy) == digest else None


def _check_attestation(memory: _Memory, entry: Entry, used: Attestation) -> Iterator[str]:
    line = memory.said.get(used.id)
    if line is None or line.kind is not Kind.EVIDENCE:
        yield f"evidence {used.id} is not in the ledger"
    elif used.problem:  # it counted for nothing, so it may say anything
        return
    elif _subject(line) != _subject(entry):
        yield f"evidence {used.id} is about another version"
    elif not memory.revoked.isdisjoint(names_of(line)):
        yield f"evidence {used.id} had been revoked"
    else:
        report = line.body["report"]
        if (report["gate"], report["verdict"]) != (used.gate, used.verdict):
            yield f"evidence {used.id} says {report['gate']} {report['verdict']}"


def _check_vote(memory: _Memory, entry: Entry, used: Vote) -> Iterator[str]:
    line = memory.said.get(used.id)
    kind = Kind.APPROVAL if used.is_approval else Kind.REJECTION
    if line is None or (line.kind, _subject(line)) != (kind, _subject(entry)):
        yield f"vote {used.id} is not in the ledger"
    elif (line.actor, line.stage) != (used.actor, used.to_stage):
        yield f"vote {used.id} is of {line.actor} about {line.stage}"


def _subject(entry: Entry) -> Subject:
    return entry.workspace, entry.model, entry.version, entry.version_created_ms


def _unmet(decision: Decision) -> list[str]:
    return [requirement.name for requirement in decision.unmet]


def _obstacles(decision: Decision) -> tuple[str, ...]:
    return tuple(f"{requirement.name}: {requirement.found}" for requirement in decision.unmet)


def _redecide(entry: Entry, why: tuple[str, ...]) -> Redecision:
    return Redecision(
        id=entry.id,
        seq=entry.seq,
        model=entry.model,
        version=entry.version,
        to_stage=entry.stage,
        actor=entry.actor,
        time_ms=entry.time_ms,
        was_allowed=entry.kind is Kind.TRANSITION,
        why=why,
    )


@cache
def _cases() -> TypeAdapter[_Case]:
    return TypeAdapter(_Case)


def _read_case(entry: Entry) -> _Case:
    """Read the body of a decision.

    Raises:
        LedgerError: It is none.
    """
    try:
        return _cases().validate_python(entry.body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LedgerError(
            f"line {entry.seq} of the ledger: '{where}': {first['msg']}",
            "a decision as the registry writes it",
            "mlflow-ext audit verify",
        ) from None
