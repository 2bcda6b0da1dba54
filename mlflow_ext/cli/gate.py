"""``mlflow-ext gate MODEL VERSION``: judge a registered version, and leave the verdicts with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._options import actor_option, option, store_options
from mlflow_ext.cli._output import emit, say

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlflow_ext.registry.submit import Judgement


@click.command()
@click.argument("model")
@click.argument("version", type=click.IntRange(min=1))
@option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("gates.yaml"),
    show_default=True,
    envvar="MLFLOW_EXT_GATES",
    help="The file that declares data and gates for each model.",
)
@actor_option
@store_options
def command(
    *,
    model: str,
    version: int,
    config: Path,
    actor: str,
    tracking_uri: str | None,
    registry_uri: str | None,
) -> None:
    """Judge VERSION of MODEL by the gates that are declared for it.

    On a gated registry the reports are signed with your key (MLFLOW_EXT_KEY, else
    ~/.mlflow_ext/key.pem, made on first use) and submitted as evidence. On plain MLflow they are
    attached to the version. Answers yes when every gate has passed.
    """
    from functools import partial

    from mlflow_ext.gates.declaration import read_declaration
    from mlflow_ext.gates.registered import judge_version
    from mlflow_ext.records import Verdict
    from mlflow_ext.registry.connection import connect, reaching
    from mlflow_ext.registry.remote import find_registry
    from mlflow_ext.registry.submit import judge_copy, submit_reports

    declaration = read_declaration(config)
    declaration.find(model)
    registry = find_registry(tracking_uri, registry_uri, actor)
    client = connect(tracking_uri, registry_uri)
    judge = partial(judge_version, client, declaration, model, version)
    with reaching(client):
        judgement = judge_copy(client, model, version, judge)
        kept: dict[str, Any] = (
            {"evidence": list(submit_reports(registry, judgement, actor))}
            if registry
            else {"run": _attach(client, judgement)}
        )
    is_passed = all(report.verdict is Verdict.PASSED for report in judgement.reports)
    emit({"is_passed": is_passed, **_document(judgement), **kept}, is_yes=is_passed)


def _attach(client: MlflowClient, judgement: Judgement) -> str:
    """Leave the reports in a run of their own, beside the run that trained the version."""
    from mlflow_ext.lineage.provenance import provenance
    from mlflow_ext.registry.advisory.evidence import attach_reports
    from mlflow_ext.registry.advisory.status import ADVISORY

    say(ADVISORY)
    trained = client.get_model_version(judgement.model, str(judgement.version)).run_id
    experiment = client.get_run(trained).info.experiment_id if trained else "0"
    run_id: str = client.create_run(experiment, run_name="gate", tags=provenance()).info.run_id
    attach_reports(client, judgement.model, judgement.version, run_id, judgement.reports)
    client.set_terminated(run_id)
    return run_id


def _document(judgement: Judgement) -> dict[str, Any]:
    return {
        "model": judgement.model,
        "version": judgement.version,
        "gates": [
            {"gate": r.gate, "verdict": str(r.verdict), "config_digest": r.config_digest}
            for r in judgement.reports
        ],
        "checks": [
            {
                "gate": report.gate,
                "verdict": str(check.verdict),
                "check": check.name,
                "observed": check.observed,
                "expected": check.expected,
                "why": check.reason,
            }
            for report in judgement.reports
            for check in report.checks
        ],
    }
