"""Where gate reports live: as JSON among the artifacts of the run that judged the version.

The version carries the run's id and, for the eye, one tag for each verdict. Tags can be edited by
anyone who may update a model, so only the artifacts are read as evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlflow_ext.records import Attestation, GateReport, Trust, from_json, to_json
from mlflow_ext.registry.connection import is_missing, reaching
from mlflow_ext.registry.policy import subject_of
from mlflow_ext.registry.snapshot import read_snapshot
from mlflow_ext.registry.tags import GATE, GATE_RUN

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

FOLDER = "gates"
"""Artifact folder of the reports in that run."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was found about one version."""

    reports: tuple[GateReport, ...] = ()
    problems: tuple[str, ...] = ()
    """What does not fit together, one line each; a problem is never evidence."""


def attach_reports(
    client: MlflowClient, model: str, version: int, run_id: str, reports: Sequence[GateReport]
) -> None:
    """Store *reports* in a run and name that run on the version; they replace earlier ones.

    Args:
        client: The registry.
        model: Name of the registered model.
        version: The version that was judged.
        run_id: The run that judged.
        reports: What the gates said.

    Raises:
        ModelNotFoundError: There is no such version.
        StoreUnreachableError: The registry does not answer.
    """
    tags = read_snapshot(client, model).version(version).tags
    verdicts = {f"{GATE}{report.gate}": str(report.verdict) for report in reports}
    stale = [key for key in tags if key.startswith(GATE) and key not in verdicts]
    with reaching(client):
        for report in reports:
            client.log_text(run_id, to_json(report), f"{FOLDER}/{report.gate}.json")
        for key, value in {GATE_RUN: run_id, **verdicts}.items():
            client.set_model_version_tag(model, str(version), key, value)
        for key in stale:
            client.delete_model_version_tag(model, str(version), key)


def load_reports(client: MlflowClient, model: str, version: int) -> tuple[GateReport, ...]:
    """Read the gate reports of a version, in the order of their gates' names.

    Raises:
        ModelNotFoundError: There is no such version.
        StoreUnreachableError: The registry does not answer.
    """
    return load_evidence(client, read_snapshot(client, model).version(version)).reports


def load_evidence(client: MlflowClient, version: ModelVersion) -> Evidence:
    """Read the reports that a version leads to, and say what does not fit.

    Raises:
        StoreUnreachableError: The store of the artifacts does not answer.
    """
    from mlflow.exceptions import MlflowException

    run_id = version.tags.get(GATE_RUN)
    if run_id is None:
        return Evidence(problems=tuple(_disagreements(version, ())))
    with reaching(client), TemporaryDirectory() as folder:
        try:
            client.download_artifacts(run_id, FOLDER, folder)
        except MlflowException as error:
            if not is_missing(error):
                raise
            return Evidence(problems=(f"run {run_id} holds no gate reports",))
        return _read_folder(Path(folder) / FOLDER, version)


def attest_reports(reports: Sequence[GateReport], subject: str) -> tuple[Attestation, ...]:
    """Put *reports* as a policy sees them: claimed, and void when they are not about *subject*."""
    return tuple(
        Attestation(
            id=0,
            gate=report.gate,
            verdict=report.verdict,
            trust=Trust.CLAIMED,
            config_digest=report.config_digest,
            created_ms=report.created_ms,
            reasons=report.reasons,
            problem="" if report.subject == subject else f"it is about {report.subject}",
        )
        for report in reports
    )


def _read_folder(folder: Path, version: ModelVersion) -> Evidence:
    reports, unreadable = [], []
    for file in sorted(folder.glob("*.json")):
        try:
            reports.append(from_json(GateReport, file.read_text(encoding="utf-8")))
        except ValueError:
            unreadable.append(f"{FOLDER}/{file.name} in run {version.tags[GATE_RUN]} is no report")
    return Evidence(
        reports=tuple(reports), problems=(*unreadable, *_disagreements(version, reports))
    )


def _disagreements(version: ModelVersion, reports: Sequence[GateReport]) -> Iterator[str]:
    subject = subject_of(version.name, int(version.version))
    verdicts = {f"{GATE}{r.gate}": str(r.verdict) for r in reports if r.subject == subject}
    shown = {key: value for key, value in version.tags.items() if key.startswith(GATE)}
    for key in sorted(verdicts.keys() | shown.keys()):
        tag, report = shown.get(key, "nothing"), verdicts.get(key, "nothing")
        if tag != report:
            yield f"tag {key} says {tag}, the report says {report}: the report counts"
