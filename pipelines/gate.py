"""Step 8: judge the version. The verdicts stay with it; `promote` acts on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow

from mlflow_ext.evaluation.report import evaluate
from mlflow_ext.gates.champion import Opponent, base_rate_opponent, judge_champion
from mlflow_ext.gates.config import now_ms
from mlflow_ext.gates.data import judge_data
from mlflow_ext.gates.metrics import judge_metrics
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.lineage.steps import active_run
from mlflow_ext.project import ChampionGate, Kpi
from mlflow_ext.records import GateReport, measure
from mlflow_ext.registry.advisory.evidence import attach_reports
from mlflow_ext.registry.mode import find_mode
from mlflow_ext.registry.snapshot import read_snapshot
from mlflow_ext.registry.submit import Judgement, judge_copy
from pipelines.evaluate import predict
from pipelines.features import Prepared
from pipelines.register import Registered
from pipelines.split import Parts, Problem, cut
from pipelines.tune import HOME

HOLDOUT = HOME / "holdout.parquet"
"""The rows that judged last, for `mlflow-ext gate`, which gates.yaml sends there."""


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What every gate says about the version."""

    reports: tuple[GateReport, ...]
    evidence: tuple[int, ...]
    """Their lines in the ledger, where the registry keeps one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One line per gate and check: the verdict and what it rests on; then what was signed."""
        checks = (
            f"{report.gate} {report.verdict}: {check.name}: {measure(check)}"
            for report in self.reports
            for check in report.checks
        )
        signed = (f"signed as evidence {', '.join(map(str, self.evidence))}",)
        return (*checks, *(signed if self.evidence else ()))


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What the model gates measure against."""

    kpis: tuple[Kpi, ...]
    champion: ChampionGate


def gate(problem: Problem, criteria: Criteria, features: Prepared, register: Registered) -> Gated:
    """Judge data, KPIs and champion on a copy of the version, and leave the reports with it."""
    client = mlflow.MlflowClient()
    judge = partial(_judge, problem, criteria, features, register)
    judgement = judge_copy(client, register.model, register.version, judge)
    _attach(client, judgement)
    return Gated(reports=judgement.reports, evidence=find_mode(client).submit(judgement))


def _judge(
    problem: Problem, criteria: Criteria, features: Prepared, register: Registered, files: Path
) -> tuple[GateReport, ...]:
    parts = cut(features.table, problem)
    HOLDOUT.parent.mkdir(parents=True, exist_ok=True)
    parts.holdout.frame.to_parquet(HOLDOUT)
    subject = GateSubject(
        model=register.model,
        version=register.version,
        fingerprints={"features": features.table.fingerprint.digest},
        rows=len(parts.holdout.y),
        created_ms=now_ms(),
    )
    challenger = predict(str(files), "holdout", parts.holdout, problem)
    return (
        _judge_data(features, register),
        judge_metrics(criteria.kpis, evaluate(challenger).metrics, subject),
        judge_champion(criteria.champion, challenger, _opponent(register, parts, problem), subject),
    )


def _judge_data(features: Prepared, registered: Registered) -> GateReport:
    used = {name: text for report in features.reports for name, text in report.fingerprints.items()}
    return judge_data(
        features.reports, model=registered.model, version=registered.version, fingerprints=used
    )


def _opponent(registered: Registered, parts: Parts, problem: Problem) -> Opponent:
    """Find the version in Production; while there is none, the base rate stands in for it."""
    snapshot = read_snapshot(mlflow.MlflowClient(), registered.model)
    champions = [v for v in snapshot.in_stage("Production") if v != registered.version]
    if not champions:
        return base_rate_opponent(parts.train.y.to_numpy(), len(parts.holdout.y))
    uri = f"models:/{registered.model}/{champions[-1]}"
    champion = predict(uri, "holdout", parts.holdout, problem)
    seen = _months_seen(snapshot.version(champions[-1]).run_id, problem)
    return Opponent(name=uri, probability=champion.probability, seen=seen)


def _months_seen(run_id: str | None, problem: Problem) -> tuple[str, ...]:
    """List the months of our holdout on which the model of *run_id* was trained or chosen.

    A model that another program has trained does not say; it counts as one that has seen none.
    """
    tags = mlflow.MlflowClient().get_run(run_id).data.tags if run_id else {}
    if "through" not in tags:
        return ()
    known = problem.split.windows(tags["through"])
    holdout = problem.split.windows(problem.through).holdout
    return tuple(month for month in holdout if month in known.train + known.validation)


def _attach(client: mlflow.MlflowClient, judgement: Judgement) -> None:
    """Leave the reports with this run, and their verdicts on the run and on the version."""
    run_id, reports = active_run().info.run_id, judgement.reports
    attach_reports(client, judgement.model, judgement.version, run_id, reports)
    mlflow.set_tags({f"gate.{report.gate}": str(report.verdict) for report in reports})
