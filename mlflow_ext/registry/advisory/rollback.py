"""Undoing a promotion: the version that was good before goes back to Production."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflow_ext.errors import RegistryStateError
from mlflow_ext.records import Action, Transition
from mlflow_ext.registry.advisory.history import history_of, last_good
from mlflow_ext.registry.advisory.transition import apply_transition, next_time_ms, settle

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlflow_ext.project import Promotion
    from mlflow_ext.registry.snapshot import Snapshot


def rollback(
    client: MlflowClient, promotion: Promotion, model: str, actor: str, reason: str
) -> Transition:
    """Move the previous good version back to Production and archive the present one.

    No gate is asked: the version has been good before. The same request made twice in a row is one
    rollback, so that a retry, after a crash too, never goes back too far; to go back further, give
    another reason.

    Args:
        client: The registry.
        promotion: The policy of the model, which names the aliases that move along.
        model: Name of the registered model.
        actor: Who asks, e.g. ``user@host``.
        reason: Why, in the words of the actor.

    Returns:
        The transition that was made, now or by this request before.

    Raises:
        RegistryStateError: Nothing is in Production, or history knows nothing to go back to.
        ModelNotFoundError: There is no such model.
        StoreUnreachableError: The registry does not answer.
    """
    snapshot, done = settle(client, promotion, model)
    history = history_of(snapshot)
    latest = next((step for step in reversed(history) if step.to_stage == "Production"), None)
    if latest and latest.action is Action.ROLLBACK:
        is_same = (latest.actor, latest.reason) == (actor, reason)
        if is_same or latest == done:
            return latest
    present, target = _find_target(snapshot, history)
    transition = Transition(
        model=model,
        version=target,
        action=Action.ROLLBACK,
        from_stage=snapshot.stages[target],
        to_stage="Production",
        actor=actor,
        reason=reason,
        time_ms=next_time_ms(history),
        replaced=present,
    )
    apply_transition(client, promotion, transition)
    return transition


def _find_target(snapshot: Snapshot, history: Sequence[Transition]) -> tuple[int, int]:
    """Return the version in Production and the one to go back to."""
    held = snapshot.in_stage("Production")
    target = last_good(history, snapshot.versions.keys() - set(held)) if held else None
    if target is not None:
        return held[-1], target
    what = f"version {held[-1]}, and nothing is known before it" if held else "no version"
    raise RegistryStateError(
        f"model '{snapshot.name}': Production holds {what}, so there is nothing to undo",
        "a version in Production that replaced another one",
        f"mlflow-ext history {snapshot.name}",
    )
