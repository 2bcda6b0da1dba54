"""Past decisions taken again, from the ledger alone. Pure.

`replay` asks whether the same policy and the same dossier still give the same answer, and whether
each dossier says what the ledger said before it. `whatif` asks what another policy would have
answered. Each decision is taken by itself: what would have followed from another answer is not
played on, and signatures are as they were judged then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from mlflow_ext.errors import PolicyError
from mlflow_ext.records import Decision, Entry, Kind
from mlflow_ext.registry.policy import Dossier, PromotionRequest, decide
from mlflow_ext.registry.rules import BUILT_IN, Policy, parse_policy, policy_digest

RecordT = TypeVar("RecordT")
BUILT_INS = tuple(BUILT_IN.values())


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


@dataclass
class _Memory:
    """What the ledger has said so far."""

    policies: dict[str, Policy]
    """Digest -> policy."""
    said: dict[int, Entry] = field(default_factory=dict)
    """Evidence and votes, by the number of their line."""
    revoked: set[int] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One decision as the ledger holds it."""

    request: PromotionRequest
    dossier: Dossier
    decision: Decision


def replay(entries: Iterable[Entry], known: Iterable[Policy] = BUILT_INS) -> Replay:
    """Take every decision in *entries* again.

    Args:
        entries: Lines of the ledger, oldest first; a decision whose policy, evidence or votes are
            not among the lines before it counts as different.
        known: Policies that apply without a line of their own.
    """
    memory = _Memory(policies={policy_digest(policy): policy for policy in known})
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
        now = decide(policy, case.request, case.dossier)
        if case.decision.is_allowed and not now.is_allowed:
            blocked.append(_redecide(entry, tuple(f"{n.name}: {n.found}" for n in now.unmet)))
        elif now.is_allowed and not case.decision.is_allowed:
            released.append(_redecide(entry, tuple(f"{n.name}: {n.found}" for n in case.decision.unmet)))
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
        memory.revoked.add(entry.body["entry"])
    elif entry.kind in (Kind.EVIDENCE, Kind.APPROVAL, Kind.REJECTION):
        memory.said[entry.id] = entry
