"""Promoting a version: ask the policy, and only then move it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.records import Action, Decision, GateReport, Transition
from mlflow_ext.registry.advisory.evidence import Evidence, attest_reports, load_evidence
from mlflow_ext.registry.advisory.history import history_of
from mlflow_ext.registry.advisory.transition import apply_transition, next_time_ms, settle
from mlflow_ext.registry.policy import Dossier, PromotionRequest, decide, subject_of
from mlflow_ext.registry.rules import policy_of
from mlflow_ext.registry.snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlflow_ext.project import Promotion

__all__ = ["PromotionRequest", "PromotionResult", "promote"]

RUN_GATES = "mlflow run . -e gate --env-manager local"


@dataclass(frozen=True, kw_only=True)
class PromotionResult:
    """What was decided and what was done."""

    decision: Decision
    transition: Transition | None = None
    """What moved; None when it was refused, a dry run, or there already."""
    problems: tuple[str, ...] = ()
    """What does not fit together in the evidence."""


def promote(
    client: MlflowClient, promotion: Promotion, request: PromotionRequest
) -> PromotionResult:
    """Move a version to a stage if the policy allows it, aliases and records with it.

    Asking for what is already so is a yes that changes nothing; after a crash the same call
    completes what was begun.

    Args:
        client: The registry.
        promotion: The policy of the model.
        request: What is asked for, by whom and why.

    Returns:
        The decision, and the transition that was made.

    Raises:
        ModelNotFoundError: There is no such model or version.
        UnknownNameError: The policy has no rule for the stage.
        StoreUnreachableError: The registry does not answer.
    """
    if request.to_stage not in promotion.stages:
        raise UnknownNameError("stage", request.to_stage, list(promotion.stages), "the policy")
    if request.is_dry_run:
        snapshot, done = read_snapshot(client, request.model), None
    else:
        snapshot, done = settle(client, promotion, request.model)
    evidence = load_evidence(client, snapshot.version(request.version))
    decision = _decide(promotion, request, snapshot, evidence)
    is_there = snapshot.stages[request.version] == request.to_stage
    if is_there and done and done.version == request.version:
        return PromotionResult(decision=decision, transition=done, problems=evidence.problems)
    if is_there or request.is_dry_run or not decision.is_allowed:
        return PromotionResult(decision=decision, problems=evidence.problems)
    transition = _plan(request, snapshot, evidence.reports)
    apply_transition(client, promotion, transition)
    return PromotionResult(decision=decision, transition=transition, problems=evidence.problems)


def _decide(
    promotion: Promotion, request: PromotionRequest, snapshot: Snapshot, evidence: Evidence
) -> Decision:
    subject = subject_of(request.model, request.version)
    attestations = attest_reports(evidence.reports, subject)
    dossier = Dossier(stages=snapshot.stages, attestations=attestations)
    return decide(policy_of(promotion), request, dossier, RUN_GATES)


def _plan(
    request: PromotionRequest, snapshot: Snapshot, reports: Sequence[GateReport]
) -> Transition:
    held = snapshot.in_stage("Production") if request.to_stage == "Production" else ()
    return Transition(
        model=request.model,
        version=request.version,
        action=Action.PROMOTE,
        from_stage=snapshot.stages[request.version],
        to_stage=request.to_stage,
        actor=request.actor,
        reason=request.reason,
        time_ms=next_time_ms(history_of(snapshot)),
        replaced=held[-1] if held else None,
        gates={report.gate: str(report.verdict) for report in reports},
    )
