"""Where a version has been, as the ledger tells it, and what that is worth to it now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow_ext.records import Action, Attestation, Entry, Kind, Verdict
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.standing import Standing, VersionRow
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.policy import AT_REST
from mlflow_ext.registry.rules import Policy

LIVE = "Production"
RULED = (Action.PROMOTE, Action.ROLLBACK, Action.FORCE)
"""The moves to a stage on which a policy has a word; any other makes no version good."""
AGAINST = (Kind.REVOCATION, Kind.REJECTION)


def is_about(entry: Entry, row: VersionRow) -> bool:
    """Tell whether a line is about this very version, and no other that had its number before."""
    return entry.version_created_ms == row.created_ms


def find_visit(case: ledger.Case, row: VersionRow) -> Entry | None:
    """Return the newest move of the version to the stage, if a policy had a word on it."""
    return _ruled(case.last_visit, row)


def entered_ms(case: ledger.Case, row: VersionRow, stage: str) -> int | None:
    """Return since when the version is in *stage*, in milliseconds since the epoch.

    None: nobody knows, for what the ledger tells last is not that it came there.
    """
    last = case.last_move
    if last is None or not is_about(last, row):
        return row.created_ms if stage == "None" else None
    return last.time_ms if last.stage == stage else None


def has_left(case: ledger.Case, row: VersionRow, stage: str) -> bool:
    """Tell whether the version left *stage* by its last move, however it had come there."""
    last = case.last_move
    if last is None or not is_about(last, row):
        return False
    return bool(last.body["transition"]["from_stage"] == stage)


def changed_files(visit: Entry | None, digest: str) -> str:
    """Say how the files differ from those with which the version held the stage."""
    held = visit.body.get("model_digest", "") if visit else digest
    if held == digest:
        return ""
    return f"its files have digest {digest or 'unknown'}, when it was there they had {held}"


def is_doubted(
    case: ledger.Case, row: VersionRow, visit: Entry, attestations: Sequence[Attestation]
) -> bool:
    """Tell whether something stands against the version that did not when it met the rules.

    Evidence was withdrawn, a gate failed, somebody objected, or what it got there with counts no
    more. A rollback asks for nothing, so it clears nothing: after one, all that was ever said
    counts.
    """
    is_return = visit.body["request"]["action"] == Action.ROLLBACK
    later = [e for e in case.about if is_about(e, row) and (is_return or e.seq > visit.seq)]
    relied_on = {a["id"] for a in visit.body["dossier"]["attestations"] if not a["problem"]}
    relied_on |= {entry.id for entry in later}
    return any(_is_against(entry) for entry in later) or any(
        a.problem and a.id in relied_on for a in attestations
    )


def promoted_digest(moment: Moment, row: VersionRow, policy: Policy) -> str:
    """Return the digest of the files with which a version last got to where not every one gets.

    That is Production, and each stage for which the policy asks something. Empty: it never did.
    """
    found = [
        _ruled(_newest(moment, row, stage=stage), row)
        for stage, rule in policy.stages.items()
        if rule.is_protected or stage == LIVE
    ]
    visits = sorted((visit for visit in found if visit), key=lambda visit: visit.seq)
    return str(visits[-1].body.get("model_digest", "")) if visits else ""


def find_strays(moment: Moment, standing: Standing, policy: Policy) -> Iterator[str]:
    """Say which governed stages and aliases are held though no line of the ledger says so.

    Whoever writes past the store, on the database's own address, leaves such ones.
    """
    for stage, rule in policy.stages.items():
        if stage in AT_REST:
            continue
        held = [v for v in standing.holders(stage, policy) if not standing.is_exempt(v)]
        came = {version: _arrival(moment, standing.versions[version], stage) for version in held}
        for version, seq in came.items():
            if not seq:
                yield f"version {version} is in {stage}, and no line of the ledger says so"
        alias = standing.aliases.get(rule.alias or "")
        newest = max(came.values(), default=0)
        if alias and not standing.is_exempt(alias) and came.get(alias, -1) < newest:
            yield (
                f"alias '{rule.alias}' of stage {stage} is on version {alias}, and no line of the "
                "ledger says so"
            )


def _arrival(moment: Moment, row: VersionRow, stage: str) -> int:
    """Return the line by which a version came to the stage where it is; 0: none."""
    last = _newest(moment, row)
    return last.seq if last and last.stage == stage and is_about(last, row) else 0


def _newest(moment: Moment, row: VersionRow, **equal: Any) -> Entry | None:
    about = {**equal, "version": row.version}
    return ledger.read_newest(
        moment.connection, moment.workspace, moment.model, Kind.TRANSITION, **about
    )


def _ruled(visit: Entry | None, row: VersionRow) -> Entry | None:
    if visit is None or not is_about(visit, row):
        return None
    return visit if visit.body["transition"]["action"] in RULED else None


def _is_against(entry: Entry) -> bool:
    is_evidence = entry.kind is Kind.EVIDENCE
    return entry.kind in AGAINST or (
        is_evidence and entry.body["report"]["verdict"] == Verdict.FAILED
    )
