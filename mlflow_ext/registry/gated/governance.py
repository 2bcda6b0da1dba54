"""What a gated registry does inside one transaction: find the policy, gather, decide."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.errors import RefusedError
from mlflow_ext.records import (
    Action,
    Attestation,
    Decision,
    Entry,
    Kind,
    Verdict,
    Vote,
)
from mlflow_ext.registry.chain import canonical
from mlflow_ext.registry.dossier import Dossier, PromotionRequest
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.caller import is_admin
from mlflow_ext.registry.gated.standing import Standing, VersionRow
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.policy import decide
from mlflow_ext.registry.rules import (
    BUILT_IN,
    EVIDENCE,
    Policy,
    members,
    parse_policy,
    read_policy,
)

if TYPE_CHECKING:
    from mlflow_ext.registry.statement import Expected

SHOWN = 200  # letters of a vote's reason in a dossier; its own line in the ledger holds all
DEFAULT_POLICY = "MLFLOW_EXT_DEFAULT_POLICY"
"""Environment variable: a built-in policy or a YAML file, for models without one of their own."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A decision together with everything it was taken from."""

    request: PromotionRequest
    policy: Policy
    standing: Standing
    dossier: Dossier
    decision: Decision
    model_digest: str
    """SHA-256 of the version's files at this moment, hex; empty when they cannot be read."""
    is_from_ledger: bool = True
    """False: the policy is a default of the server's own, which no other line holds."""
    is_clearing: bool = False
    """The versions that hold the stage are archived, as the stage's rule or the client wants."""

    @property
    def row(self) -> VersionRow:
        """The version that was asked about."""
        return self.standing.versions[self.request.version]

    @property
    def from_stage(self) -> str:
        """Where the version stands."""
        return self.standing.stage_of(self.request.version, self.policy)

    @property
    def replaced(self) -> tuple[int, ...]:
        """The versions that leave the stage to the one that was asked about, oldest first."""
        held = self.standing.holders(self.request.to_stage, self.policy)
        return tuple(v for v in held if self.is_clearing and v != self.request.version)


def find_policy(moment: Moment) -> tuple[Policy, Entry | None]:
    """Return the policy that governs the model, and the line that set it; None: the default."""
    entry = ledger.read_newest(moment.connection, moment.workspace, moment.model, Kind.POLICY)
    return policy_in(entry), entry


def policy_in(entry: Entry | None) -> Policy:
    """Return the policy that a line of the ledger sets; without one, the default of the server."""
    if entry is not None:
        return _parsed(canonical(entry.body["policy"]))
    return default_policy(os.environ.get(DEFAULT_POLICY, EVIDENCE.name))


def check_owner(moment: Moment) -> None:
    """Let only the owners of a policy change what it rests on, where it names any.

    An administrator of the server may as well, or a name could be taken for ever.

    Raises:
        RefusedError: The caller is none of them.
    """
    policy, _ = find_policy(moment)
    owners = members(policy, policy.owners)
    is_owner = moment.caller.actor in owners or not policy.owners
    if not is_owner and not is_admin(moment.caller):
        raise RefusedError(
            f"'{moment.caller.actor}' is no owner of policy '{policy.name}'",
            f"one of its owners: {', '.join(sorted(owners))}",
            f"mlflow-ext policy show {moment.model}",
        )


@cache
def default_policy(named: str) -> Policy:
    """Return a built-in policy by its name, or read it from a YAML file.

    Raises:
        ProjectFileError: There is neither such a policy nor such a file, or it is no policy.
    """
    return BUILT_IN[named] if named in BUILT_IN else read_policy(Path(named))


def rule(
    moment: Moment, case: ledger.Case, standing: Standing, request: PromotionRequest, digest: str
) -> Ruling:
    """Decide about *request* from what the ledger holds at this moment.

    Args:
        moment: The transaction.
        case: The lines that matter.
        standing: How the model stands.
        request: What is asked for. A promotion to an older version than the one that holds the
            stage, which has held it before, is a rollback, unless something was said against it
            since: then it must meet every rule.
        digest: SHA-256 of the version's files, hex; empty when they cannot be read.
    """
    policy = policy_in(case.policy)
    dossier = _gather(moment, case, standing, request, digest)
    is_clean = not _said_against(case, standing.versions[request.version])
    if request.action is Action.PROMOTE and dossier.has_been_there and is_clean:
        request = replace(request, action=Action.ROLLBACK)
    return Ruling(
        request=request,
        policy=policy,
        standing=standing,
        dossier=dossier,
        decision=decide(policy, request, dossier),
        model_digest=digest,
        is_from_ledger=case.policy is not None or policy in BUILT_IN.values(),
    )


def read_attestations(
    moment: Moment, policy: Policy, row: VersionRow, digest: str, entries: Sequence[Entry]
) -> tuple[Attestation, ...]:
    """Read the evidence among *entries*, each with the reason why it does not count, if so."""
    from mlflow_ext.registry.statement import attest, attest_imported

    found = [entry for entry in entries if entry.kind is Kind.EVIDENCE]
    if not found:
        return ()
    revoked = {entry.body["entry"] for entry in entries if entry.kind is Kind.REVOCATION}
    withdrawn = {_said(entry) for entry in found if entry.id in revoked}
    expected = expect(moment, row, digest)
    judges = {False: attest, True: attest_imported}
    judged = [
        (e, judges["imported" in e.body](e.body["envelope"], expected, policy, e.id)) for e in found
    ]
    return tuple(replace(a, problem=_spoiled(e, row, withdrawn) or a.problem) for e, a in judged)


def expect(moment: Moment, row: VersionRow, digest: str) -> Expected:
    """Say what a statement must be about to count for a version as it is now."""
    from mlflow_ext.registry.statement import Expected

    return Expected(
        workspace=moment.workspace,
        model=moment.model,
        version=row.version,
        version_created_ms=row.created_ms,
        model_digest=digest,
        server_key_id=server_key_id(),
        now_ms=moment.now_ms,
    )


@cache
def server_key_id() -> str:
    """Return the id of the key with which this server signs what it has recomputed."""
    from mlflow_ext.registry.signing import load_key

    return load_key().key_id


@cache
def _parsed(text: str) -> Policy:
    import json

    return parse_policy(json.loads(text))


def _gather(
    moment: Moment, case: ledger.Case, standing: Standing, request: PromotionRequest, digest: str
) -> Dossier:
    policy, row = policy_in(case.policy), standing.versions[request.version]
    own = [entry for entry in case.about if _is_about(entry, row)]
    last = case.last_move if case.last_move and _is_about(case.last_move, row) else None
    newest = max(standing.holders(request.to_stage, policy), default=0)
    may_return = request.action is Action.ROLLBACK or newest > row.version
    is_own = case.last_visit is not None and _is_about(case.last_visit, row)
    before = case.last_visit if may_return and is_own else None
    return Dossier(
        stages={v: standing.stage_of(v, policy) for v in sorted(standing.versions)},
        attestations=read_attestations(moment, policy, row, digest, case.about),
        votes=tuple(_vote(entry) for entry in own if entry.kind in ledger.VOTES),
        authors=tuple(sorted({name for entry in own for name in _authors(entry)})),
        entered_ms=last.time_ms if last else row.created_ms,
        has_been_there=may_return and (bool(before) or _has_left(last, request.to_stage)),
        changed_files=_changes(before, digest),
        now_ms=moment.now_ms,
    )


def carry_authors(moment: Moment, there: Moment) -> None:
    """Let the authors of a model's versions be known under the name that the model gets."""
    lines = ledger.read(moment.connection, moment.workspace, moment.model, kinds=ledger.AUTHORS)
    known: dict[tuple[int | None, int | None], set[str]] = {}
    for entry in lines:
        of_version = known.setdefault((entry.version, entry.version_created_ms), set())
        of_version.update(_authors(entry))
    drafts = [
        replace(
            ledger.draft(there, Kind.REGISTRATION, {"renamed": moment.model, "authors": sorted(a)}),
            version=version,
            version_created_ms=created_ms,
        )
        for (version, created_ms), a in known.items()
    ]
    if drafts:
        ledger.append_all(moment.connection, drafts)


def _authors(entry: Entry) -> Iterable[str]:
    """Return who made a version what it is, as one line tells."""
    if entry.kind not in ledger.AUTHORS:
        return ()
    return entry.body.get("authors") or (entry.actor,)


def _said_against(case: ledger.Case, row: VersionRow) -> bool:
    """Tell whether evidence was withdrawn, a gate failed or somebody objected since the visit."""
    visited = case.last_visit.seq if case.last_visit else 0
    later = [entry for entry in case.about if entry.seq > visited and _is_about(entry, row)]
    return any(
        entry.kind in (Kind.REVOCATION, Kind.REJECTION)
        or (entry.kind is Kind.EVIDENCE and entry.body["report"]["verdict"] == Verdict.FAILED)
        for entry in later
    )


def _is_about(entry: Entry, row: VersionRow) -> bool:
    """Tell whether a line is about this very version, and no other that had its number before."""
    return entry.version_created_ms == row.created_ms


def _has_left(last: Entry | None, stage: str) -> bool:
    """Tell whether a version was in *stage* before the ledger began, and was replaced there."""
    return last is not None and last.body["transition"]["from_stage"] == stage


def _changes(before: Entry | None, digest: str) -> str:
    """Say how the files differ from those with which the version held the stage."""
    held = before.body.get("model_digest", "") if before else digest
    if held == digest:
        return ""
    return f"its files have digest {digest or 'unknown'}, when it was there they had {held}"


def _spoiled(entry: Entry, row: VersionRow, withdrawn: set[str]) -> str:
    if not ledger.is_intact(entry):
        return f"line {entry.seq} of the ledger was edited"
    if not _is_about(entry, row):
        return f"it is about another version {row.version}, made at another time"
    return "it was revoked" if _said(entry) in withdrawn else ""


def _said(entry: Entry) -> str:
    """Return what a piece of evidence says: handed in again it is no other."""
    return str(entry.body["envelope"].get("payload"))


def _vote(entry: Entry) -> Vote:
    return Vote(
        id=entry.id,
        actor=entry.actor,
        is_approval=entry.kind is Kind.APPROVAL,
        to_stage=entry.stage or "",
        time_ms=entry.time_ms,
        reason=entry.body["reason"][:SHOWN],
    )
