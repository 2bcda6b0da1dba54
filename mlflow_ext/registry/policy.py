"""The decision: may this version go to that stage, and if not, what would help?

Pure: no clock, no network, no MLflow. The same dossier always gives the same decision, which is
what makes a decision explainable and replayable, here and inside a registry that enforces it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from mlflow_ext.records import Action, Decision, Requirement
from mlflow_ext.registry.conditions import judge_approvals, judge_freeze, judge_time
from mlflow_ext.registry.dossier import Dossier, PromotionRequest
from mlflow_ext.registry.gate_rules import judge_gates
from mlflow_ext.registry.rules import (
    Policy,
    StagePolicy,
    canonical_stage,
    members,
    stage_policy,
)

__all__ = ["RUN_GATES", "Dossier", "PromotionRequest", "decide", "subject_of"]

RUN_GATES = "mlflow-ext gate run {model} {version}"
"""The command that makes evidence about a version."""
AT_REST = ("None", "Archived")


def subject_of(model: str, version: int) -> str:
    """Return what a gate report about this version must name as its subject.

    >>> subject_of("flight-delay", 3)
    'models:/flight-delay/3'
    """
    return f"models:/{model}/{version}"


def decide(
    policy: Policy, request: PromotionRequest, dossier: Dossier, run_gates: str = RUN_GATES
) -> Decision:
    """Decide whether a version may move to a stage.

    A version that is already there, or a stage for which the policy has no rule, is a plain yes. A
    promotion must meet every rule of the stage; where only the stage's alias moves on to a version
    in it, every rule but those about where it comes from. A rollback must lead to a version that
    has been there with the same files, and to nothing else: undoing is possible at any time. Force
    asks only who does it, and lists the rules it goes past.

    Args:
        policy: The policy of the model.
        request: What is asked for.
        dossier: What is known.
        run_gates: The command that would make missing evidence, with ``{model}`` and ``{version}``.

    Returns:
        The decision with every rule that was applied and, for each unmet one, the command that
        would meet it.
    """
    return Decision(
        model=request.model,
        version=request.version,
        to_stage=canonical_stage(request.to_stage),
        requirements=tuple(_apply(policy, request, dossier, run_gates)),
    )


def _apply(
    policy: Policy, request: PromotionRequest, dossier: Dossier, run_gates: str
) -> Iterator[Requirement]:
    present, stage = dossier.stages.get(request.version), stage_policy(policy, request.to_stage)
    yield _judge_existence(request, dossier)
    if present is None or stage is None:
        return
    if dossier.is_settled and _is_there(request, dossier):
        return
    if request.action is Action.ROLLBACK:
        yield from _judge_rollback(request, dossier)
        return
    fix = run_gates.format(model=shlex.quote(request.model), version=request.version)
    rules = _judge_promotion(policy, stage, request, dossier, fix)
    if request.action is Action.FORCE:
        yield _judge_force(policy, stage, request)
        rules = map(_go_past, rules)
    yield from rules


def _judge_promotion(
    policy: Policy, stage: StagePolicy, request: PromotionRequest, dossier: Dossier, fix: str
) -> Iterator[Requirement]:
    is_there = _is_there(request, dossier)
    if stage.comes_from and not is_there:
        yield _judge_origin(stage, request, dossier)
    yield from judge_gates(stage, dossier.attestations, dossier.now_ms, fix)
    if stage.approvals:
        yield from judge_approvals(policy, stage.approvals, request, dossier)
    if stage.min_time and not is_there:
        yield judge_time(stage.min_time, request, dossier)
    for window in stage.freeze:
        yield judge_freeze(window, request, dossier.now_ms)


def _is_there(request: PromotionRequest, dossier: Dossier) -> bool:
    present = dossier.stages[request.version]
    return canonical_stage(present) == canonical_stage(request.to_stage)


def _judge_rollback(request: PromotionRequest, dossier: Dossier) -> Iterator[Requirement]:
    look = f"mlflow-ext history {shlex.quote(request.model)}"
    been = "has" if dossier.has_been_there else "has never"
    yield _requirement(
        f"a version that has been in {request.to_stage}",
        f"version {request.version} {been} been there",
        "" if dossier.has_been_there else look,
    )
    changed = dossier.changed_files
    yield _requirement("the files it had there", changed or "they are", look if changed else "")


def _judge_force(policy: Policy, stage: StagePolicy, request: PromotionRequest) -> Requirement:
    groups = stage.force.groups
    is_met = request.actor in members(policy, groups)
    return _requirement(
        f"force by {' or '.join(groups) or 'nobody'}",
        f"{request.actor} is {'' if is_met else 'not '}among them",
        "" if is_met else f"mlflow-ext policy show {shlex.quote(request.model)}",
    )


def _go_past(rule: Requirement) -> Requirement:
    if rule.is_met:
        return rule
    return replace(rule, name=f"forced past: {rule.name}", fix="", is_met=True)


def _judge_existence(request: PromotionRequest, dossier: Dossier) -> Requirement:
    number, known = request.version, sorted(dossier.stages)
    if number in known:
        return _requirement("an existing version", f"version {number}", "")
    found = f"no version {number} (there are: {', '.join(map(str, known)) or 'none'})"
    fix = f"mlflow-ext status {shlex.quote(request.model)}"
    return _requirement("an existing version", found, fix)


def _judge_origin(stage: StagePolicy, request: PromotionRequest, dossier: Dossier) -> Requirement:
    present = canonical_stage(dossier.stages[request.version])
    return _requirement(
        f"stage {' or '.join(stage.comes_from)}",
        f"version {request.version} is in stage {present}",
        "" if present in stage.comes_from else _way_in(stage, request, present),
    )


def _way_in(stage: StagePolicy, request: PromotionRequest, present: str) -> str:
    steps = [origin for origin in stage.comes_from if origin not in AT_REST]
    if not steps and present == "Production":
        return f"mlflow-ext rollback {shlex.quote(request.model)} --reason '...'"
    return request.command("promote", (*steps, *stage.comes_from)[0])


def _requirement(name: str, found: str, fix: str) -> Requirement:
    return Requirement(name=name, found=found, fix=fix, is_met=not fix)
