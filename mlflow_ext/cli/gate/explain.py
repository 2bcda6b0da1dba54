"""``mlflow-ext gate explain MODEL VERSION``: what a version lacks, and how to mend it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._options import (
    actor_option,
    model_argument,
    option,
    store_options,
    version_argument,
)
from mlflow_ext.cli._output import emit

if TYPE_CHECKING:
    from mlflow_ext.registry.remote import Registry

REASON = "to see what is missing"
LIVE = "Production"
AT_REST = ("None", "Archived")
NEXT = {"None": "Staging", "Archived": "Staging", "Staging": LIVE}


@click.command()
@model_argument
@version_argument
@option("--to", metavar="STAGE", show_default="the next one", help="The stage to ask about.")
@actor_option
@store_options
def command(
    *,
    model: str,
    version: int,
    to: str | None,
    actor: str,
    tracking_uri: str | None,
    registry_uri: str | None,
) -> None:
    """Say what VERSION of MODEL lacks for the next stage, and the commands.

    The policy is asked as by a promotion, and nothing is moved or recorded. Answers yes when
    nothing is missing.
    """
    from mlflow_ext.registry.remote import find_registry

    registry = find_registry(tracking_uri, registry_uri, actor)
    answer = (
        _ask(registry, model, version, to)
        if registry
        else _decide(model, version, to, (actor, tracking_uri, registry_uri))
    )
    decision = answer["decision"]
    emit(_document(decision, answer), is_yes=decision["is_allowed"])


def _document(decision: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    missing = [rule for rule in decision["requirements"] if not rule["is_met"]]
    model, stage = shlex.quote(decision["model"]), shlex.quote(decision["to_stage"])
    promote = f"mlflow-ext promote {model} {decision['version']} --to {stage} --reason '...'"
    return {
        "model": decision["model"],
        "version": decision["version"],
        "to_stage": decision["to_stage"],
        "is_allowed": decision["is_allowed"],
        "policy": answer.get("policy"),
        "met": [rule["name"] for rule in decision["requirements"] if rule["is_met"]],
        "missing": [{key: rule[key] for key in ("name", "found", "fix")} for rule in missing],
        "commands": list(dict.fromkeys([*(rule["fix"] for rule in missing), promote])),
        "problems": list(answer.get("problems", ())),
    }


def _ask(registry: Registry, model: str, version: int, to: str | None) -> dict[str, Any]:
    stage = to or _next_stage(registry, model, version)
    asked = {"model": model, "version": version, "to": stage, "reason": REASON}
    return registry.ask("promote", **asked, dry_run=True)


def _next_stage(registry: Registry, model: str, version: int) -> str:
    """Return the first stage that the policy opens from where a version is, else MLflow's next."""
    versions = registry.ask("status", model=model)["versions"]
    present = next((each["stage"] for each in versions if each["version"] == version), "None")
    rules = registry.ask("policy/show", model=model)["policy"]["stages"]
    ways = (stage for stage, rule in rules.items() if present in rule["comes_from"])
    return next((stage for stage in ways if stage not in AT_REST), NEXT.get(present, LIVE))


def _decide(
    model: str, version: int, to: str | None, origin: tuple[str, str | None, str | None]
) -> dict[str, Any]:
    """Ask the policy of plain MLflow, which only this side obeys."""
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.promote import promote
    from mlflow_ext.registry.card import load_policy
    from mlflow_ext.registry.connection import connect
    from mlflow_ext.registry.dossier import PromotionRequest
    from mlflow_ext.registry.snapshot import read_snapshot
    from mlflow_ext.registry.terms import canonical_stage

    actor, *uris = origin
    client = connect(*uris)
    present = read_snapshot(client, model).version(version).current_stage or "None"
    stage = to or NEXT.get(present, LIVE)
    request = PromotionRequest(
        model=model,
        version=version,
        to_stage=canonical_stage(stage),
        actor=actor,
        reason=REASON,
        is_dry_run=True,
    )
    result = promote(client, load_policy(client, model), request)
    return {**to_dict(result), "decision": to_dict(result.decision)}
