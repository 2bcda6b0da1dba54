"""Moving a version between stages so that a crash in the middle can be repaired.

MLflow has no call that moves a stage, its aliases and a record at once. So the intent is written on
the version first; the stage moves next; aliases and records follow; the intent is removed last.
Every call can be repeated. Whoever comes next finds the intent: if the stage has moved, the rest is
completed; if it has not, nothing happened and the intent is dropped.
"""

from __future__ import annotations

import textwrap
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflow_ext.records import Action, Transition
from mlflow_ext.registry.advisory.history import read_transition, transition_key, write_transition
from mlflow_ext.registry.connection import reaching
from mlflow_ext.registry.snapshot import Snapshot, read_snapshot
from mlflow_ext.registry.tags import PENDING

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlflow_ext.project import Promotion

DESCRIPTION_LIMIT = 5000  # VARCHAR(5000) in MLflow's schema
DEPRECATION = r".*MlflowClient\.transition_model_version_stage.* is deprecated"


def apply_transition(client: MlflowClient, promotion: Promotion, transition: Transition) -> None:
    """Move a version, its aliases and what it replaces, and record it.

    Raises:
        StoreUnreachableError: The registry stopped answering; the same call completes the rest.
    """
    version = str(transition.version)
    with reaching(client):
        client.set_model_version_tag(
            transition.model, version, PENDING, write_transition(transition)
        )
        _move_stage(client, transition)
        _complete(client, promotion, transition)


def settle(
    client: MlflowClient, promotion: Promotion, model: str
) -> tuple[Snapshot, Transition | None]:
    """Complete what an interrupted transition left behind.

    Returns:
        The model as it stands afterwards, and the transition that was completed, if any.

    Raises:
        ModelNotFoundError: There is no such model.
        StoreUnreachableError: The registry does not answer.
    """
    snapshot = read_snapshot(client, model)
    pending = pending_transitions(snapshot)
    moved = [t for t in pending if snapshot.stages[t.version] == t.to_stage]
    with reaching(client):
        for transition in pending:
            if transition in moved:
                _complete(client, promotion, transition)
            else:
                client.delete_model_version_tag(model, str(transition.version), PENDING)
    if pending:
        snapshot = read_snapshot(client, model)
    return snapshot, moved[-1] if moved else None


def pending_transitions(snapshot: Snapshot) -> tuple[Transition, ...]:
    """Return the transitions that were begun and not completed, oldest first."""
    found = (
        read_transition(version.tags[PENDING], f"tag {PENDING} of version {number}")
        for number, version in snapshot.versions.items()
        if PENDING in version.tags
    )
    return tuple(sorted(found, key=lambda transition: transition.time_ms))


def next_time_ms(history: Sequence[Transition]) -> int:
    """Return now in milliseconds, or just after the last record when the clock stands behind it."""
    now = time.time_ns() // 1_000_000
    return max(now, history[-1].time_ms + 1) if history else now


def _move_stage(client: MlflowClient, transition: Transition) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", DEPRECATION, FutureWarning)
        client.transition_model_version_stage(
            transition.model,
            str(transition.version),
            transition.to_stage,
            # models:/NAME/Production loads the highest version there, so there must be one only.
            archive_existing_versions=transition.to_stage == "Production",
        )


def _complete(client: MlflowClient, promotion: Promotion, transition: Transition) -> None:
    _move_aliases(client, promotion, transition)
    _describe(client, transition)
    _record(client, transition)
    if transition.replaced is not None:
        _record(client, _archived(transition, transition.replaced))
    client.delete_model_version_tag(transition.model, str(transition.version), PENDING)


def _move_aliases(client: MlflowClient, promotion: Promotion, transition: Transition) -> None:
    model, leaving = transition.model, {transition.version, transition.replaced}
    aliases = client.get_registered_model(model).aliases
    for stage, rule in promotion.stages.items():
        if stage == transition.to_stage:
            client.set_registered_model_alias(model, rule.alias, str(transition.version))
        elif rule.alias in aliases and int(aliases[rule.alias]) in leaving:
            client.delete_registered_model_alias(model, rule.alias)


def _describe(client: MlflowClient, transition: Transition) -> None:
    """Append the reason to the version's description, where the MLflow UI shows it."""
    version = str(transition.version)
    text = client.get_model_version(transition.model, version).description or ""
    day = datetime.fromtimestamp(transition.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    reason = textwrap.shorten(transition.reason, 300, placeholder="…")
    line = f"- {day} {transition.action} to {transition.to_stage} by {transition.actor}: {reason}"
    if line not in text and len(text) + len(line) < DESCRIPTION_LIMIT:
        whole = f"{text}\n{line}" if text else line
        client.update_model_version(transition.model, version, whole)


def _record(client: MlflowClient, transition: Transition) -> None:
    client.set_model_version_tag(
        transition.model,
        str(transition.version),
        transition_key(transition),
        write_transition(transition),
    )


def _archived(transition: Transition, version: int) -> Transition:
    return replace(
        transition,
        version=version,
        action=Action.ARCHIVE,
        from_stage=transition.to_stage,
        to_stage="Archived",
        replaced=None,
        gates=None,
    )
