"""Moving versions and what leads to it: promote, force, rollback, request, approve, reject."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import RefusedError, RegistryStateError, UnknownNameError
from mlflow_ext.records import Action, Entry, Kind, Transition, to_dict
from mlflow_ext.registry.advisory.history import last_good
from mlflow_ext.registry.dossier import PromotionRequest
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.caller import current_caller
from mlflow_ext.registry.gated.governance import find_policy
from mlflow_ext.registry.gated.operations._operation import (
    STRICT,
    AboutModel,
    AboutMove,
    AboutStage,
    Document,
    Operation,
    Operations,
    Reason,
    Right,
)
from mlflow_ext.registry.gated.recording import describe_refusal
from mlflow_ext.registry.gated.standing import read_standing
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.rules import Policy
from mlflow_ext.registry.terms import canonical_stage

LIVE = "Production"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Override(AboutMove):
    """A move against the policy, which nobody makes without saying why."""

    reason: Reason = Field(min_length=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Undo(AboutModel):
    """A model whose last promotion is to be undone."""

    reason: Annotated[Reason, Field(min_length=1)]


def promote(store: GatedStore, asked: AboutMove) -> Document:
    """Move a version to a stage if the policy allows it."""
    return _move(store, asked, Action.PROMOTE)


def force(store: GatedStore, asked: Override) -> Document:
    """Move a version against the policy, for those whom the policy lets do that."""
    return _move(store, asked, Action.FORCE)


def rollback(store: GatedStore, asked: Undo) -> Document:
    """Move the previous good version back to Production.

    The same request made twice in a row is one rollback.

    Raises:
        RegistryStateError: Nothing is in Production, history knows nothing to go back to, or the
            policy leaves Production free, so that nothing is recorded.
        RefusedError: The version is not as it was when it was good.
    """
    with store.holding(asked.model) as moment:  # what history says and what is live must agree
        entries = _live_history(moment)
        target = _find_target(moment, asked, entries)
    if isinstance(target, Transition):
        return asdict(target)
    request = _request(asked.model, target, LIVE, asked.reason, Action.ROLLBACK)
    outcome = store.move(request)
    if not outcome.decision.is_allowed:
        raise RefusedError(
            describe_refusal(outcome.policy, outcome.decision),
            "a version that is as it was when it was good",
            f"mlflow-ext history {asked.model}",
        )
    return asdict(outcome.transition or _newest(store, asked))


def request(store: GatedStore, asked: AboutStage) -> Document:
    """Record that somebody wants a version to go to a stage."""
    return _vote(store, asked, Kind.REQUEST)


def approve(store: GatedStore, asked: AboutStage) -> Document:
    """Record that the caller is for it; whether the caller counts is for the policy to say."""
    return _vote(store, asked, Kind.APPROVAL)


def reject(store: GatedStore, asked: AboutStage) -> Document:
    """Record that the caller is against it."""
    return _vote(store, asked, Kind.REJECTION)


OPERATIONS: Operations = {
    "promote": Operation(answer=promote, payload=AboutMove, right=Right.UPDATE, is_write=True),
    "force": Operation(answer=force, payload=Override, right=Right.UPDATE, is_write=True),
    "rollback": Operation(answer=rollback, payload=Undo, right=Right.UPDATE, is_write=True),
    "request": Operation(answer=request, payload=AboutStage, right=Right.READ, is_write=True),
    "approve": Operation(answer=approve, payload=AboutStage, right=Right.READ, is_write=True),
    "reject": Operation(answer=reject, payload=AboutStage, right=Right.READ, is_write=True),
}


def _move(store: GatedStore, asked: AboutMove, action: Action) -> Document:
    wanted = _request(asked.model, asked.version, asked.to, asked.reason, action)
    outcome = store.move(replace(wanted, is_dry_run=asked.dry_run))
    return {
        "policy": outcome.policy,
        "decision": to_dict(outcome.decision),
        "transition": asdict(outcome.transition) if outcome.transition else None,
        "message": ""
        if outcome.decision.is_allowed
        else describe_refusal(outcome.policy, outcome.decision),
    }


def _request(model: str, version: int, to: str, reason: str, action: Action) -> PromotionRequest:
    return PromotionRequest(
        model=model,
        version=version,
        to_stage=canonical_stage(to),
        actor=current_caller().actor,
        reason=reason,
        action=action,
    )


def _live_history(moment: Moment) -> list[Entry]:
    return ledger.read(
        moment.connection, moment.workspace, moment.model, kinds=[Kind.TRANSITION], stage=LIVE
    )


def _newest(store: GatedStore, asked: Undo) -> Transition:
    """Return the move of somebody who was quicker: the version is there already."""
    with store.reading(asked.model) as moment:
        return ledger.transition_of(_live_history(moment)[-1])


def _find_target(moment: Moment, asked: Undo, entries: list[Entry]) -> int | Transition:
    """Return the version to go back to, or the rollback that this very request has made before."""
    steps = [ledger.transition_of(entry) for entry in entries]
    policy, _ = find_policy(moment)
    _check_recorded(policy, asked.model)
    known = {step.version for step in steps} | {s.replaced for s in steps if s.replaced}
    standing = read_standing(moment.connection, moment.workspace, asked.model, *known)
    held = standing.holders(LIVE, policy)
    last = steps[-1] if steps else None
    asks = (current_caller().actor, asked.reason, Action.ROLLBACK)
    if last and last.version in held and (last.actor, last.reason, last.action) == asks:
        return last
    made = {(entry.version, entry.version_created_ms) for entry in entries}
    gone = {v for v, row in standing.versions.items() if (v, row.created_ms) not in made}
    alive = standing.versions.keys() - set(held) - (gone & {step.version for step in steps})
    target = last_good(steps, alive) if held else None
    if target is not None:
        return target
    what = f"version {held[-1]}, and nothing is known before it" if held else "no version"
    raise RegistryStateError(
        f"model '{asked.model}': Production holds {what}, so there is nothing to undo",
        "a version in Production that replaced another one",
        f"mlflow-ext history {asked.model}",
    )


def _check_recorded(policy: Policy, model: str) -> None:
    if LIVE not in policy.stages:
        raise RegistryStateError(
            f"policy '{policy.name}' of model '{model}' leaves {LIVE} free, so nothing is recorded",
            f"a policy with a rule for {LIVE}, whose history tells what was good",
            f"mlflow-ext promote {model} VERSION --to {LIVE} --reason '...'",
        )


def _vote(store: GatedStore, asked: AboutStage, kind: Kind) -> Document:
    stage = canonical_stage(asked.to)
    with store.holding(asked.model) as moment:
        policy, _ = find_policy(moment)
        if stage not in policy.stages:
            raise UnknownNameError("stage", stage, list(policy.stages), f"policy '{policy.name}'")
        row = store.version_row(moment, asked.version)
        body = {"to_stage": stage, "reason": asked.reason}
        line = ledger.draft(moment, kind, body, row, stage)
        return {"entry": asdict(ledger.append(moment.connection, line))}
