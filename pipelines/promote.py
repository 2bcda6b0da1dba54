"""Step 9: move the version as far as its gates allow."""

from __future__ import annotations

from dataclasses import dataclass

import mlflow

from mlflow_ext.process import current_actor
from mlflow_ext.project import Promotion, Stage
from mlflow_ext.registry.dossier import PromotionRequest
from mlflow_ext.registry.mode import Mode, find_mode
from mlflow_ext.registry.snapshot import Snapshot, read_snapshot
from pipelines.gate import Gated
from pipelines.register import Registered

UPWARDS: tuple[Stage, ...] = ("Staging", "Production")


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """Where the version ended up, and what kept it from going further."""

    stage: str
    aliases: tuple[str, ...]
    refusals: tuple[str, ...]


def promote(promotion: Promotion, register: Registered, gate: Gated) -> Promoted:
    """Go up through the stages of the policy; the first one that refuses is the last one tried."""
    client = mlflow.MlflowClient()
    mode, snapshot = find_mode(client), read_snapshot(client, register.model)
    refusals: tuple[str, ...] = ()
    for stage in _stages_ahead(snapshot, promotion, register):
        request = PromotionRequest(
            model=register.model,
            version=register.version,
            to_stage=stage,
            actor=current_actor(),
            reason=_reason(gate),
        )
        refusals = _object_to_return(snapshot, request) or _ask(mode, promotion, request)
        if refusals:
            break
    return _where_it_is(client, register, refusals)


def _stages_ahead(snapshot: Snapshot, promotion: Promotion, register: Registered) -> list[Stage]:
    """List the stages still to be reached, lowest first."""
    stage = snapshot.stages[register.version]
    reached = UPWARDS.index(stage) + 1 if stage in UPWARDS else 0
    return [name for name in UPWARDS[reached:] if name in promotion.stages]


def _object_to_return(snapshot: Snapshot, request: PromotionRequest) -> tuple[str, ...]:
    """Leave it to a person to put an older version back: a registry takes that for a rollback."""
    newest = max(snapshot.in_stage(request.to_stage), default=0)
    if newest <= request.version:
        return ()
    back = f"to go back to an older one: mlflow-ext rollback {request.model} --reason '...'"
    return (f"{request.to_stage}: version {newest} is newer; {back}",)


def _ask(mode: Mode, promotion: Promotion, request: PromotionRequest) -> tuple[str, ...]:
    decision = mode.promote(promotion, request)
    return tuple(f"{request.to_stage}: {need.name}: {need.found}" for need in decision.unmet)


def _reason(gate: Gated) -> str:
    return "gates: " + ", ".join(f"{report.gate} {report.verdict}" for report in gate.reports)


def _where_it_is(
    client: mlflow.MlflowClient, register: Registered, refusals: tuple[str, ...]
) -> Promoted:
    snapshot = read_snapshot(client, register.model)
    held = (alias for alias, version in snapshot.aliases.items() if version == register.version)
    return Promoted(
        stage=snapshot.stages[register.version], aliases=tuple(sorted(held)), refusals=refusals
    )
