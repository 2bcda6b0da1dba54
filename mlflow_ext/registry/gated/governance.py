"""What a gated registry does inside one transaction: find the policy, gather, decide."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.errors import LedgerError, RefusedError
from mlflow_ext.records import (
    Action,
    Attestation,
    Decision,
    Entry,
    Kind,
    Vote,
)
from mlflow_ext.registry.chain import canonical
from mlflow_ext.registry.dossier import Dossier, PromotionRequest
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.caller import is_admin
from mlflow_ext.registry.gated.standing import Standing, VersionRow
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.gated.visits import (
    changed_files,
    entered_ms,
    find_visit,
    has_left,
    is_about,
    is_doubted,
)
from mlflow_ext.registry.policy import decide
from mlflow_ext.registry.revocation import pair_revocations, said
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

    @cached_property
    def from_stage(self) -> str:
        """Where the version stands."""
        return self.standing.stage_of(self.request.version, self.policy)

    @cached_property
    def replaced(self) -> tuple[int, ...]:
        """The versions that leave the stage to the one that was asked about, oldest first."""
        held = self.standing.holders(self.request.to_stage, self.policy)
        return tuple(v for v in held if self.is_clearing and v != self.request.version)

    @property
    def is_change(self) -> bool:
        """True when stage, alias or what is replaced differ afterwards."""
        is_there = self.from_stage == self.request.to_stage
        return not is_there or bool(self.replaced) or not self.dossier.is_settled


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
            stage, which has held it before, is a rollback, unless something stands against it now:
            then it must meet every rule.
        digest: SHA-256 of the version's files, hex; empty when they cannot be read.
    """
    policy = policy_in(case.policy)
    dossier = _gather(moment, case, standing, request, digest)
    if request.action is Action.PROMOTE and _is_way_back(
        case, standing.versions[request.version], dossier
    ):
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
    withdrawn = set(_withdrawn(entries))
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
    own = [entry for entry in case.about if is_about(entry, row)]
    stage = standing.stage_of(row.version, policy)
    is_there = stage == request.to_stage
    is_settled = not is_there or _is_settled(policy, standing, request)
    is_undoing = request.action is Action.ROLLBACK
    is_older = row.version < max(standing.holders(request.to_stage, policy), default=0)
    goes_back = is_undoing or (is_older and not (is_there and is_settled))
    visit = find_visit(case, row) if goes_back else None
    return Dossier(
        stages={v: standing.stage_of(v, policy) for v in sorted(standing.versions)},
        attestations=read_attestations(moment, policy, row, digest, case.about),
        votes=tuple(_vote(entry) for entry in own if entry.kind in ledger.VOTES),
        authors=tuple(sorted({name for entry in own for name in _authors(entry)})),
        entered_ms=entered_ms(case, row, stage),
        # What held the stage before the ledger began is good enough for who asks to undo.
        has_been_there=bool(visit) or (is_undoing and has_left(case, row, request.to_stage)),
        changed_files=changed_files(visit, digest),
        is_settled=is_settled,
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


def _is_way_back(case: ledger.Case, row: VersionRow, dossier: Dossier) -> bool:
    """Tell whether a version goes back to where it was, with nothing against it."""
    visit = find_visit(case, row) if dossier.has_been_there else None
    # With other files none of its evidence counts, and the rules of a rollback say why.
    evidence = () if dossier.changed_files else dossier.attestations
    return visit is not None and not is_doubted(case, row, visit, evidence)


def _is_settled(policy: Policy, standing: Standing, request: PromotionRequest) -> bool:
    """Tell whether a version that is in the stage already would be there as it is now."""
    rule = policy.stages.get(request.to_stage)
    has_alias = not (rule and rule.alias) or standing.aliases.get(rule.alias) == request.version
    is_alone = standing.holders(request.to_stage, policy) == (request.version,)
    return has_alias and (is_alone or request.action is not Action.ROLLBACK)


def _spoiled(entry: Entry, row: VersionRow, withdrawn: set[str]) -> str:
    if not ledger.is_intact(entry):
        return f"line {entry.seq} of the ledger was edited"
    if not is_about(entry, row):
        return f"it is about another version {row.version}, made at another time"
    return "it was revoked" if said(entry) in withdrawn else ""


def _withdrawn(entries: Sequence[Entry]) -> Iterator[str]:
    for revocation, line in pair_revocations(entries):
        if line is None:
            raise LedgerError(
                f"line {revocation.seq} of the ledger withdraws evidence that is not there",
                "every line as it was written",
                "mlflow-ext audit verify",
            )
        yield said(line)


def _vote(entry: Entry) -> Vote:
    return Vote(
        id=entry.id,
        actor=entry.actor,
        is_approval=entry.kind is Kind.APPROVAL,
        to_stage=entry.stage or "",
        time_ms=entry.time_ms,
        reason=entry.body["reason"][:SHOWN],
    )
