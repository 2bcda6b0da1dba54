"""``mlflow-ext gate run MODEL VERSION``: judge a version, and leave the verdicts with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._options import (
    actor_option,
    model_argument,
    option,
    store_options,
    version_argument,
)
from mlflow_ext.cli._output import emit, say
from mlflow_ext.cli.gate._reports import describe_reports

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from mlflow_ext.gates.declaration import Declaration
    from mlflow_ext.registry.submit import Judgement

DEFAULT_EXPERIMENT = "0"


@click.command()
@model_argument
@version_argument
@option(
    "--gate",
    "gates",
    metavar="NAME",
    multiple=True,
    help="Only this gate of those that are declared; may be given several times.",
)
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
    gates: tuple[str, ...],
    config: Path,
    actor: str,
    tracking_uri: str | None,
    registry_uri: str | None,
) -> None:
    """Judge VERSION of MODEL by the gates that are declared for it.

    The reports become artifacts of a run, with one page for all of them, and are attached to the
    version in the place of earlier ones of the same gates. On a gated registry they are also signed
    with your key (MLFLOW_EXT_KEY, else ~/.mlflow_ext/key.pem, made on first use) and submitted as
    evidence. Answers yes when every gate has passed.
    """
    import sys
    from contextlib import redirect_stdout
    from functools import partial

    from mlflow_ext.gates.declaration import read_declaration
    from mlflow_ext.gates.registered import JudgeContext, judge_version
    from mlflow_ext.records import Verdict
    from mlflow_ext.registry.advisory.status import ADVISORY
    from mlflow_ext.registry.connection import connect, reaching
    from mlflow_ext.registry.mode import AdvisoryMode, GatedMode
    from mlflow_ext.registry.remote import find_registry
    from mlflow_ext.registry.submit import judge_copy, submit_reports

    declaration = _choose(read_declaration(config), model, gates)
    registry = find_registry(tracking_uri, registry_uri, actor)
    client = connect(tracking_uri, registry_uri)
    mode = GatedMode(registry) if registry else AdvisoryMode(client)
    context = JudgeContext(client=client, count_attempt=mode.count_attempt)
    judge = partial(judge_version, context, declaration, model, version)
    # MLflow prints addresses, a model whatever it likes: stdout is for our document.
    with reaching(client), redirect_stdout(sys.stderr):
        judgement = judge_copy(client, model, version, judge)
        kept: dict[str, Any] = {"run": _attach(client, judgement, context.attachments)}
        if registry:
            kept["evidence"] = list(submit_reports(registry, judgement, actor))
        else:
            say(ADVISORY)
    is_passed = all(report.verdict is Verdict.PASSED for report in judgement.reports)
    about = {"is_passed": is_passed, "model": model, "version": version}
    emit({**about, **describe_reports(judgement.reports), **kept}, is_yes=is_passed)


def _choose(declaration: Declaration, model: str, gates: Sequence[str]) -> Declaration:
    """Leave only the named gates of a model in the declaration; all when none is named."""
    from dataclasses import replace

    from mlflow_ext.errors import UnknownNameError

    declared = declaration.find(model)
    for name in gates:
        if name not in declared.gates:
            raise UnknownNameError("gate", name, declared.gates, str(declaration.file))
    chosen = {name: declared.gates[name] for name in gates or declared.gates}
    return replace(declaration, models={model: replace(declared, gates=chosen)})


def _attach(client: MlflowClient, judgement: Judgement, tables: Mapping[str, pd.DataFrame]) -> str:
    """Leave the reports in a run of their own, beside the run that trained the version."""
    from mlflow_ext.gates.record import log_summary
    from mlflow_ext.lineage.provenance import provenance
    from mlflow_ext.registry.advisory.evidence import attach_reports, load_reports

    model, version = judgement.model, judgement.version
    earlier = load_reports(client, model, version)
    reports = tuple({report.gate: report for report in (*earlier, *judgement.reports)}.values())
    experiment = _find_experiment(client, model, version)
    run_id: str = client.create_run(experiment, run_name="gate", tags=provenance()).info.run_id
    attach_reports(client, model, version, run_id, reports)
    log_summary(reports, client, run_id, tables)
    client.set_terminated(run_id)
    return run_id


def _find_experiment(client: MlflowClient, model: str, version: int) -> str:
    """Find the experiment of the run that trained a version; the default one if that is gone."""
    from mlflow.exceptions import MlflowException

    from mlflow_ext.registry.connection import is_missing

    trained = client.get_model_version(model, str(version)).run_id
    try:
        return str(client.get_run(trained).info.experiment_id) if trained else DEFAULT_EXPERIMENT
    except MlflowException as error:
        if not is_missing(error):
            raise
        return DEFAULT_EXPERIMENT
