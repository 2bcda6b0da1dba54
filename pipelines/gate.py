"""Step 8: judge the version. The verdicts stay with it; `promote` acts on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import mlflow
import pandas as pd

from mlflow_ext.data.fingerprint import fingerprint_table
from mlflow_ext.gates.candidate import Candidate, Label, Opponent
from mlflow_ext.gates.catalog import build_gates
from mlflow_ext.gates.champion import base_rate_opponent
from mlflow_ext.gates.config import now_ms
from mlflow_ext.gates.interface import Gate
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.gates.record import log_summary
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.project import Project
from mlflow_ext.records import GateReport, Verdict, measure
from mlflow_ext.registry.advisory.evidence import attach_reports
from mlflow_ext.registry.mode import find_mode
from mlflow_ext.registry.snapshot import read_snapshot
from mlflow_ext.registry.submit import Judgement, judge_copy
from mlflow_ext.tracking.active import active_run
from pipelines.evaluate import predict
from pipelines.features import Prepared
from pipelines.register import Registered
from pipelines.split import Parts, Problem, cut
from pipelines.tune import HOME

CHECKS_SHOWN = 4
HOLDOUT, TRAINING = HOME / "holdout.parquet", HOME / "training.parquet"
"""The rows that judged and trained last; gates.yaml sends `mlflow-ext gate run` there."""


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What every gate says about the version."""

    reports: tuple[GateReport, ...]
    evidence: tuple[int, ...]
    """Their lines in the ledger, where the registry keeps one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What each gate says, and on what that rests; then what was signed."""
        said = (line for report in self.reports for line in _notes(report))
        signed = (f"signed as evidence {', '.join(map(str, self.evidence))}",)
        return (*said, *(signed if self.evidence else ()))


def _notes(report: GateReport) -> Iterator[str]:
    """Say one line for each check; of many checks, only for those that did not pass."""
    many = len(report.checks) > CHECKS_SHOWN
    told = [c for c in report.checks if not many or c.verdict is not Verdict.PASSED]
    if many:
        passed = len(report.checks) - len(told)
        yield f"{report.gate} {report.verdict}: {passed} of {len(report.checks)} checks passed"
    for check in told:
        where = f" [{check.slice}]" if check.slice else ""
        yield f"{report.gate} {check.verdict}: {check.name}{where}: {measure(check)}"


def declared_gates(project: Project) -> Mapping[str, Gate]:
    """Set up the gates of a project: data, KPIs, and those that it names.

    Raises:
        UnknownNameError: There is no such gate, or no such metric.
        GateConfigError: A gate has no such option, lacks one, or one has a wrong value.
        DirectionError: A metric is to be moved the wrong way.
    """
    kpis = {"kpis": [asdict(kpi) for kpi in project.kpis]}
    named = project.gates.model
    every = {"data": {}, "metrics": kpis, **named}
    every["metrics"] = {**kpis, **every["metrics"]}
    return build_gates(every)


def gate(problem: Problem, project: Project, features: Prepared, register: Registered) -> Gated:
    """Judge a copy of the version by every gate of the project, and leave the reports with it."""
    client = mlflow.MlflowClient()
    case = _Case(problem, features, register)
    judge = partial(case.judge, declared_gates(project))
    judgement = judge_copy(client, register.model, register.version, judge)
    _attach(client, judgement, case.tables)
    return Gated(reports=judgement.reports, evidence=find_mode(client).submit(judgement))


@dataclass(frozen=True)
class _Case:
    """The version, and what the steps before this one know about it."""

    problem: Problem
    features: Prepared
    register: Registered
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """What gates leave beside their reports."""

    def judge(self, gates: Mapping[str, Gate], files: Path) -> tuple[GateReport, ...]:
        parts = cut(self.features.table, self.problem)
        HOLDOUT.parent.mkdir(parents=True, exist_ok=True)
        parts.holdout.frame.to_parquet(HOLDOUT)
        parts.train.frame.to_parquet(TRAINING)
        return judge_candidate(gates, self._candidate(parts, files))

    def _candidate(self, parts: Parts, files: Path) -> Candidate:
        subject = self._subject(parts)
        target = self.problem.target
        return Candidate(
            subject=subject,
            files=files,
            holdout=parts.holdout.frame,
            label=Label(
                column=target.column,
                positive=target.positive,
                decision_threshold=self.problem.decision_threshold,
            ),
            read_training=lambda: parts.train.frame,
            find_opponent=lambda _: _opponent(self.register, parts, self.problem),
            count_attempt=find_mode(mlflow.MlflowClient()).count_attempt,
            table_reports=self.features.reports,
            attachments=self.tables,
        )

    def _subject(self, parts: Parts) -> GateSubject:
        tables = [report.fingerprints for report in self.features.reports]
        judged = {"holdout": fingerprint_table(parts.holdout.frame).digest}
        return GateSubject(
            model=self.register.model,
            version=self.register.version,
            fingerprints={
                name: digest for each in (*tables, judged) for name, digest in each.items()
            },
            rows=len(parts.holdout.y),
            created_ms=now_ms(),
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


def _attach(
    client: mlflow.MlflowClient, judgement: Judgement, tables: Mapping[str, pd.DataFrame]
) -> None:
    """Leave the reports with this run, and their verdicts on the run and on the version."""
    run_id, reports = active_run().info.run_id, judgement.reports
    attach_reports(client, judgement.model, judgement.version, run_id, reports)
    log_summary(reports, client, run_id, tables)
