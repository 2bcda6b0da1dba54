"""Writing down what a gated registry decided and did."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from mlflow_ext.records import Action, Decision, Kind, Transition
from mlflow_ext.registry.dossier import PromotionRequest
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.governance import Ruling
from mlflow_ext.registry.gated.standing import Standing, VersionRow
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.policy import AT_REST
from mlflow_ext.registry.rules import STAGES, Policy, dump_policy, policy_digest


def record_move(moment: Moment, ruling: Ruling) -> Transition:
    """Write the transition that was carried out, and that of every version it replaced."""
    transition = _transition(moment, ruling)
    rows = [ruling.standing.versions[version] for version in ruling.replaced]
    archived = [_archive(moment, ruling.request, row) for row in rows]
    ledger.append_all(moment.connection, [_move(moment, ruling, transition), *archived])
    return transition


def record_free_move(
    moment: Moment,
    standing: Standing,
    request: PromotionRequest,
    from_stage: str,
    held: tuple[int, ...],
) -> Transition | None:
    """Write a move that nobody decided about, so that its time is known.

    Args:
        moment: The transaction.
        standing: How the model stood before.
        request: What was asked for and done.
        from_stage: Where the version was.
        held: The versions that were in the stage and were archived.

    Returns:
        What the line says; None when the version was there already.
    """
    to_stage, row = request.to_stage, standing.versions[request.version]
    action = Action.ARCHIVE if to_stage == "Archived" else Action.MOVE
    moved = _step(moment, row, action, (from_stage, to_stage), request.reason)
    drafts = [_line(moment, row, moved)] if from_stage != to_stage else []
    others = [standing.versions[v] for v in held if v != request.version]
    drafts += [_archive(moment, request, other) for other in others]
    if drafts:
        ledger.append_all(moment.connection, drafts)
    return moved if from_stage != to_stage else None


def record_end_of_alias(moment: Moment, row: VersionRow, stage: str, alias: str) -> None:
    """Write that a version left a stage that lives as its alias, which was deleted."""
    left = _step(moment, row, Action.MOVE, (stage, "None"), f"alias {alias} deleted")
    ledger.append_all(moment.connection, [_line(moment, row, left)])


def carry_stages(moment: Moment, standing: Standing, policy: Policy, name: str) -> None:
    """Let the new name of a model tell where its versions stand; their time there begins again.

    Args:
        moment: The transaction, about the new name.
        standing: How the model stands.
        policy: What governs the new name.
        name: The old one.
    """
    stages = {row: standing.stage_of(v, policy) for v, row in standing.versions.items()}
    drafts = [
        _line(
            moment, row, _step(moment, row, Action.MOVE, (stage, stage), f"renamed from '{name}'")
        )
        for row, stage in stages.items()
        if stage not in AT_REST and not standing.is_exempt(row.version)
    ]
    if drafts:
        ledger.append_all(moment.connection, drafts)


def record_refusal(moment: Moment, ruling: Ruling) -> None:
    """Write that a request was refused, and why."""
    ledger.append_all(moment.connection, [_move(moment, ruling, None)])


def describe_refusal(policy: str, decision: Decision) -> str:
    """Say a refusal so that both registry UIs and every client can show it."""
    lines = [f"- {need.name}: {need.found}. To mend it: {need.fix}" for need in decision.unmet]
    what = f"version {decision.version} of '{decision.model}' to {decision.to_stage}"
    return "\n".join([f"Policy '{policy}' refuses to move {what}:", *lines])


def _transition(moment: Moment, ruling: Ruling) -> Transition:
    is_ruled = ruling.request.to_stage in ruling.policy.stages
    action = ruling.request.action
    if action is Action.PROMOTE and not is_ruled:
        action = Action.ARCHIVE if ruling.request.to_stage == "Archived" else Action.MOVE
    stages = (ruling.from_stage, ruling.request.to_stage)
    return replace(
        _step(moment, ruling.row, action, stages, ruling.request.reason),
        replaced=ruling.replaced[-1] if ruling.replaced else None,
        gates={a.gate: str(a.verdict) for a in ruling.dossier.attestations if not a.problem},
    )


def _move(moment: Moment, ruling: Ruling, transition: Transition | None) -> ledger.Draft:
    body: dict[str, Any] = {
        "request": _plain(ruling.request),
        "dossier": _plain(ruling.dossier),
        "policy_digest": policy_digest(ruling.policy),
        "decision": {**_plain(ruling.decision), "is_allowed": ruling.decision.is_allowed},
        "transition": _plain(transition) if transition else None,
        "model_digest": ruling.model_digest,
    }
    if not ruling.is_from_ledger:
        body["policy"] = dump_policy(ruling.policy)  # so that the decision can be replayed
    kind = Kind.TRANSITION if transition else Kind.REFUSAL
    return ledger.draft(moment, kind, body, ruling.row, ruling.request.to_stage)


def _archive(moment: Moment, request: PromotionRequest, row: VersionRow) -> ledger.Draft:
    """Draft the line of a version that gives its stage up to the one that was asked about."""
    to_stage = "Archived" if request.to_stage in STAGES else "None"
    reason = f"replaced by version {request.version}: {request.reason}"
    stages = (request.to_stage, to_stage)
    return _line(moment, row, _step(moment, row, Action.ARCHIVE, stages, reason))


def _step(
    moment: Moment, row: VersionRow, action: Action, stages: tuple[str, str], reason: str
) -> Transition:
    from_stage, to_stage = stages
    return Transition(
        model=moment.model,
        version=row.version,
        action=action,
        from_stage=from_stage,
        to_stage=to_stage,
        actor=moment.caller.actor,
        reason=reason,
        time_ms=moment.now_ms,
        is_claimed=moment.caller.is_claimed,
        client=moment.caller.client,
    )


def _line(moment: Moment, row: VersionRow, step: Transition) -> ledger.Draft:
    """Draft the line of a step that nobody decides about."""
    body = {"transition": _plain(step)}
    return ledger.draft(moment, Kind.TRANSITION, body, row, step.to_stage)


def _plain(record: Any) -> dict[str, Any]:
    """Return a record as the JSON values it will be read as; quicker than `dataclasses.asdict`."""
    kind: Any = type(record)
    values: dict[str, Any] = _adapter(kind).dump_python(record, mode="json")
    return values


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
