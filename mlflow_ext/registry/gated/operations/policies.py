"""The policy of a model: which one governs, since when, and setting another."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic.dataclasses import dataclass

from mlflow_ext.records import Entry, Kind
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.aliases import rename_aliases
from mlflow_ext.registry.gated.governance import check_owner, find_policy
from mlflow_ext.registry.gated.operations._operation import (
    STRICT,
    AboutModel,
    Document,
    Operation,
    Operations,
    Reason,
    Right,
)
from mlflow_ext.registry.gated.standing import read_standing
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.rules import Policy, dump_policy, parse_policy, policy_digest


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NewPolicy(AboutModel):
    """What is to govern a model from now on."""

    policy: dict[str, Any]
    reason: Reason = ""


def show(store: GatedStore, asked: AboutModel) -> Document:
    """Return the policy that governs a model, and who set it when."""
    with store.reading(asked.model) as moment:
        policy, entry = find_policy(moment)
    return {"model": asked.model, **_describe(policy, entry)}


def set_policy(store: GatedStore, asked: NewPolicy) -> Document:
    """Let another policy govern a model.

    Raises:
        PolicyError: It is no policy.
        RefusedError: The present policy has owners, and the caller is none of them.
    """
    policy = parse_policy(asked.policy)
    with store.holding(asked.model) as moment:
        check_owner(moment)
        standing = read_standing(moment.connection, moment.workspace, moment.model)
        renamed = rename_aliases(moment, standing, find_policy(moment)[0], policy)
        body = {
            "policy": dump_policy(policy),
            "digest": policy_digest(policy),
            "reason": asked.reason,
            **({"aliases": renamed} if renamed else {}),
        }
        line = ledger.draft(moment, Kind.POLICY, body)
        return {"entry": asdict(ledger.append(moment.connection, line))}


OPERATIONS: Operations = {
    "policy/show": Operation(answer=show, payload=AboutModel, right=Right.READ),
    "policy/set": Operation(
        answer=set_policy, payload=NewPolicy, right=Right.MANAGE, is_write=True
    ),
}


def _describe(policy: Policy, entry: Entry | None) -> Document:
    return {
        "policy": dump_policy(policy),
        "digest": policy_digest(policy),
        "source": f"ledger line {entry.seq}" if entry else "default of the server",
        "actor": entry.actor if entry else None,
        "time_ms": entry.time_ms if entry else None,
    }
