"""The promotion policy: may this version go to that stage, and if not, what would help?

Pure: no clock, no network, no MLflow. The same evidence always gives the same decision, which is
what makes a decision explainable and replayable, here and inside a registry that enforces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.project import Promotion, Stage
from mlflow_ext.records import Decision, GateReport, Requirement, Verdict, combine

RUN_GATES = "mlflow run . -e gate --env-manager local"
# A promotion goes up: out of Production leads a rollback, which knows what takes the place.
COMES_FROM = {"Staging": ("None", "Archived"), "Production": ("Staging",)}


@dataclass(frozen=True, kw_only=True)
class PromotionRequest:
    """Somebody asks for a version to be moved up."""

    model: str
    version: int
    to_stage: Stage
    """``Staging`` or ``Production``."""
    actor: str
    """Who asks, e.g. ``user@host``."""
    reason: str
    """Why, in the words of the actor."""
    is_dry_run: bool = False
    """True: only say what the decision would be."""


def subject_of(model: str, version: int) -> str:
    """Return what a gate report about this version must name as its subject.

    >>> subject_of("flight-delay", 3)
    'models:/flight-delay/3'
    """
    return f"models:/{model}/{version}"


def decide(
    promotion: Promotion,
    request: PromotionRequest,
    reports: Sequence[GateReport],
    stages: Mapping[int, str],
) -> Decision:
    """Decide whether a version may move to a stage.

    A version that is already there is a plain yes: nothing moves. Otherwise each gate that the
    stage requires must have passed for exactly this version; skipped, inconclusive and missing
    never count. Of several reports of one gate the latest decides, of equally late ones the worst.

    Args:
        promotion: The policy of the model.
        request: What is asked for.
        reports: Evidence, in any order, about any subject.
        stages: Version -> current stage, for every version of the model.

    Returns:
        The decision, with each unmet requirement and the command that would meet it.

    Raises:
        UnknownNameError: The policy has no rule for the stage.
    """
    if request.to_stage not in promotion.stages:
        raise UnknownNameError("stage", request.to_stage, list(promotion.stages), "the policy")
    unmet = _state_requirements(promotion, request, stages)
    if stages.get(request.version) != request.to_stage:
        unmet += _gate_requirements(promotion, request, reports)
    return Decision(
        model=request.model, version=request.version, to_stage=request.to_stage, unmet=tuple(unmet)
    )


def _state_requirements(
    promotion: Promotion, request: PromotionRequest, stages: Mapping[int, str]
) -> list[Requirement]:
    model, version, stage = request.model, request.version, stages.get(request.version)
    if promotion.model != model:
        found = f"the policy governs '{promotion.model}'"
        fix = "mlflow run . -e register --env-manager local"
        return [Requirement(name=f"a policy for '{model}'", found=found, fix=fix)]
    if stage is None:
        found = f"no version {version} (there are: {', '.join(map(str, sorted(stages))) or 'none'})"
        return [
            Requirement(name="an existing version", found=found, fix=f"mlflow-ext status {model}")
        ]
    allowed = _allowed_origins(promotion, request.to_stage)
    if stage in (*allowed, request.to_stage):
        return []
    found = f"version {version} is in stage {stage}"
    return [Requirement(name=f"stage {' or '.join(allowed)}", found=found, fix=_way_in(request))]


def _allowed_origins(promotion: Promotion, to_stage: Stage) -> tuple[str, ...]:
    if to_stage == "Production" and "Staging" not in promotion.stages:
        return COMES_FROM["Staging"]
    return COMES_FROM[to_stage]


def _way_in(request: PromotionRequest) -> str:
    if request.to_stage == "Production":
        return f"mlflow-ext promote {request.model} {request.version} --to Staging --reason '...'"
    return f"mlflow-ext rollback {request.model} --reason '...'"


def _gate_requirements(
    promotion: Promotion, request: PromotionRequest, reports: Sequence[GateReport]
) -> list[Requirement]:
    subject = subject_of(request.model, request.version)
    found = {
        gate: _look_for(gate, subject, reports)
        for gate in promotion.stages[request.to_stage].requires
    }
    return [
        Requirement(name=f"gate {gate}", found=what, fix=RUN_GATES)
        for gate, what in found.items()
        if what != Verdict.PASSED
    ]


def _look_for(gate: str, subject: str, reports: Sequence[GateReport]) -> str:
    """Return ``passed``, or in words what there is instead."""
    named = [report for report in reports if report.gate == gate]
    about = [report for report in named if report.subject == subject]
    if not about:
        others = sorted({report.subject for report in named})
        return f"no report for {subject}" + (f", only for {', '.join(others)}" if others else "")
    latest = [r for r in about if r.created_ms == max(report.created_ms for report in about)]
    verdict = combine([report.verdict for report in latest])
    reasons = [reason for report in latest for reason in report.reasons]
    return (
        verdict if verdict is Verdict.PASSED else f"{verdict}: {'; '.join(reasons) or 'no check'}"
    )
