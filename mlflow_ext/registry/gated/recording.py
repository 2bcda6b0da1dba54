"""Writing down what a gated registry decided and did."""

from __future__ import annotations

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
    archived = [_archive(moment, ruling, version) for version in ruling.replaced]
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
        from_stage: Where the version was; the same stage is no move.
        held: The versions that were archived with it.
    """
    version, to_stage = request.version, request.to_stage
    action = Action.ARCHIVE if to_stage == "Archived" else Action.MOVE
    steps = {v: (Action.ARCHIVE, to_stage, "Archived") for v in held if v != version}
    if from_stage != to_stage:
        steps = {version: (action, from_stage, to_stage), **steps}
    drafts = [
        draft_step(moment, standing.versions[v], step, _why(request, v))
        for v, step in steps.items()
    ]


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
    return Transition(
        model=moment.model,
        version=ruling.request.version,
        action=action,
        from_stage=ruling.from_stage,
        to_stage=ruling.request.to_stage,
        actor=moment.caller.actor,
        reason=ruling.request.reason,
        time_ms=moment.now_ms,
        replaced=ruling.replaced[-1] if ruling.replaced else None,
        gates={a.gate: str(a.verdict) for a in ruling.dossier.attestations if not a.problem},
        is_claimed=moment.caller.is_claimed,
        client=moment.caller.client,
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


def _archive(moment: Moment, ruling: Ruling, version: int) -> ledger.Draft:
    to_stage = "Archived" if ruling.request.to_stage in STAGES else "None"
    transition = Transition(
        model=moment.model,
        version=version,
        action=Action.ARCHIVE,
        from_stage=ruling.request.to_stage,
        to_stage=to_stage,
        actor=moment.caller.actor,
        reason=f"replaced by version {ruling.request.version}: {ruling.request.reason}",
        time_ms=moment.now_ms,
        is_claimed=moment.caller.is_claimed,
        client=moment.caller.client,
    )
    row = ruling.standing.versions[version]
    body = {"transition": _plain(transition)}
    return ledger.draft(moment, Kind.TRANSITION, body, row, to_stage)


def _plain(record: Any) -> dict[str, Any]:
    """Return a record as the JSON values it will be read as; quicker than `dataclasses.asdict`."""
    kind: Any = type(record)
    values: dict[str, Any] = _adapter(kind).dump_python(record, mode="json")
    return values


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
