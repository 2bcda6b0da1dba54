"""Moving versions and what leads to it: promote, force, rollback, request, approve, reject."""

from __future__ import annotations

from collections.abc import Callable
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
from mlflow_ext.registry.gated.standing import Standing, read_standing
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.gated.visits import LIVE
from mlflow_ext.registry.rules import Policy
from mlflow_ext.registry.terms import canonical_stage


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
            policy leaves Production free, so that nothing is recorded; or another version went
            live while the files of the target were read.
        RefusedError: The version is not as it was when it was good.
    """
    done = store.move_chosen(asked.model, _choosing(asked))
    if isinstance(done, Transition):
        return asdict(done)
    if done.transition is None:
        raise RefusedError(
            describe_refusal(done.policy, done.decision),
            "a version that is as it was when it was good",
            f"mlflow-ext history {asked.model}",
        )
    return asdict(done.transition)


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


def _choosing(asked: Undo) -> Callable[[Moment], PromotionRequest | Transition]:
    """Return what finds the way back, and that same version live when it has to look again."""
    seen: set[int] = set()

    def choose(moment: Moment) -> PromotionRequest | Transition:
        policy, _ = find_policy(moment)
        _check_recorded(policy, asked.model)
        history = _live_history(moment)
        steps = [ledger.transition_of(entry) for entry in history]
        standing = _read_known(moment, steps)
        held = standing.holders(LIVE, policy)
        last = steps[-1] if steps and steps[-1].version in held else None
        if last and (last.actor, last.reason, last.action) == _asks(asked):
            return last
        live = last.version if last else max(held, default=0)
        _check_undone(seen | {live}, asked.model)
        seen.add(live)
        target = last_good(steps, _alive(history, standing) - {live}) if live else None
        if target is None:
            raise _nothing(asked.model, live)
        return _request(asked.model, target, LIVE, asked.reason, Action.ROLLBACK)

    return choose


def _live_history(moment: Moment) -> list[Entry]:
    return ledger.read(
        moment.connection, moment.workspace, moment.model, kinds=[Kind.TRANSITION], stage=LIVE
    )


def _read_known(moment: Moment, steps: list[Transition]) -> Standing:
    known = {step.version for step in steps} | {s.replaced for s in steps if s.replaced}
    return read_standing(moment.connection, moment.workspace, moment.model, *known)


def _asks(asked: Undo) -> tuple[str, str, Action]:
    """Return by what the rollback is known that this very request has made before."""
    return current_caller().actor, asked.reason, Action.ROLLBACK


def _alive(history: list[Entry], standing: Standing) -> set[int]:
    """Return the versions that are there still; another one under the same number is not it."""
    told = {entry.version for entry in history}
    made = {(entry.version, entry.version_created_ms) for entry in history}
    rows = standing.versions
    return {v for v, row in rows.items() if v not in told or (v, row.created_ms) in made}


def _check_undone(seen: set[int], model: str) -> None:
    if len(seen) > 1:
        raise RegistryStateError(
            f"model '{model}': another version went to {LIVE} at the same moment",
            "the version that was to be undone",
            f"mlflow-ext status {model}, and once more if it is still to be undone",
        )


def _nothing(model: str, live: int) -> RegistryStateError:
    what = f"version {live}, and nothing is known before it" if live else "no version"
    return RegistryStateError(
        f"model '{model}': {LIVE} holds {what}, so there is nothing to undo",
        f"a version in {LIVE} that replaced another one",
        f"mlflow-ext history {model}",
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
