"""What happened to a model: one tag on the version for each transition, folded into a history.

MLflow keeps no history of stages, so the record is ours. In advisory mode it lives where any MLflow
registry can hold it: in tags of the versions. A deleted version takes its tags with it.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlflow_ext.errors import RegistryStateError
from mlflow_ext.records import Action, Transition, from_json, to_dict
from mlflow_ext.registry.snapshot import Snapshot, read_snapshot
from mlflow_ext.registry.tags import TRANSITION

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow lets 100,000 characters through; the TEXT column of MySQL holds 65,535 bytes.
TAG_LIMIT = 65_535


def transition_key(transition: Transition) -> str:
    """Return the name of the tag that holds *transition*: sorting names sorts by time.

    What a promotion archives comes after it in the same millisecond.
    """
    return f"{TRANSITION}{transition.time_ms:013d}-{int(transition.action is Action.ARCHIVE)}"


def write_transition(transition: Transition) -> str:
    """Write *transition* as the value of a tag; a reason that does not fit ends in an ellipsis."""
    text = _compact(transition)
    if len(text) <= TAG_LIMIT:
        return text
    reason = transition.reason

    def cut(length: int) -> str:
        return _compact(replace(transition, reason=reason[:length] + "…"))

    # A character takes up to twelve in JSON, so the longest part that fits is searched for.
    too_long = bisect_right(range(len(reason)), TAG_LIMIT, key=lambda length: len(cut(length)))
    return cut(too_long - 1)


def read_transition(text: str, where: str) -> Transition:
    """Read the value of a tag back.

    Raises:
        RegistryStateError: Somebody wrote something else into the tag.
    """
    try:
        return from_json(Transition, text)
    except ValueError:
        raise RegistryStateError(
            f"{where} is no record of a transition: {text[:80]}",
            "the JSON that mlflow-ext wrote",
            f"delete {where} in the MLflow UI",
        ) from None


def read_history(client: MlflowClient, model: str) -> tuple[Transition, ...]:
    """Read every recorded transition of a model, oldest first.

    Raises:
        ModelNotFoundError: There is no such model.
        RegistryStateError: A record was edited and cannot be read.
        StoreUnreachableError: The registry does not answer.
    """
    return history_of(read_snapshot(client, model))


def history_of(snapshot: Snapshot) -> tuple[Transition, ...]:
    """Return every transition recorded in *snapshot*, oldest first.

    Raises:
        RegistryStateError: A record was edited and cannot be read.
    """
    found = [
        (key, read_transition(text, f"tag {key} of version {number}"))
        for number, version in snapshot.versions.items()
        for key, text in version.tags.items()
        if key.startswith(TRANSITION)
    ]
    return tuple(transition for _, transition in sorted(found, key=lambda entry: entry[0]))


def last_good(history: Sequence[Transition], among: Collection[int]) -> int | None:
    """Return the version to go back to: what the version in Production replaced.

    A promotion to Production pushes its version on a stack, a rollback pops down to its own.

    Args:
        history: Transitions, oldest first.
        among: Versions that may be returned: those that still exist, less the one in Production.

    Returns:
        The version, or None when there is nothing to go back to.
    """
    stack: list[int] = []
    for step in history:
        if step.to_stage != "Production":
            continue
        if step.action is Action.ROLLBACK:
            while stack and stack.pop() != step.version:
                pass
        elif step.replaced is not None and stack[-1:] != [step.replaced]:
            stack.append(step.replaced)  # it went live without our record
        stack.append(step.version)
    return next((version for version in reversed(stack) if version in among), None)


def _compact(transition: Transition) -> str:
    return json.dumps(to_dict(transition), separators=(",", ":"), sort_keys=True)
