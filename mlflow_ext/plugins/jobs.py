"""The MLflow job by which a server judges a version itself; see `registry/gated/recomputation.py`.

MLflow knows it by two environment variables of the server, not by an entry point.
"""

from __future__ import annotations

from typing import Any

from mlflow.server.jobs import job


@job(name="mlflow_ext_recompute", max_workers=1)
def recompute(model: str, version: int) -> dict[str, Any]:
    """Judge a version by the server's own gates, and record the reports as *recomputed*.

    Whoever starts the job may name a model and a version; any other parameter ends it at once.
    Loading a model runs its code in this process, which can reach the server's key: a server whose
    word is to count sets ``MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false``.

    Args:
        model: Name of the registered model.
        version: Its version, from 1.

    Returns:
        The numbers of the lines in the ledger, and gate -> verdict.

    Raises:
        MlflowExtError: No verdict could be reached; the job fails with its text.
    """
    from functools import partial

    from mlflow import MlflowClient

    from mlflow_ext.gates.declaration import read_declaration
    from mlflow_ext.gates.registered import JudgeContext, judge_version
    from mlflow_ext.records import Trust
    from mlflow_ext.registry.gated.recomputation import SERVER, server_gates
    from mlflow_ext.registry.mode import GatedMode
    from mlflow_ext.registry.remote import require_registry
    from mlflow_ext.registry.submit import judge_copy, submit_reports

    number, client = int(version), MlflowClient()
    registry = require_registry(actor=SERVER)
    context = JudgeContext(client=client, count_attempt=GatedMode(registry).count_attempt)
    judge = partial(judge_version, context, read_declaration(server_gates()), model, number)
    judgement = judge_copy(client, model, number, judge)
    ids = submit_reports(registry, judgement, SERVER, Trust.RECOMPUTED)
    return {"ids": ids, "verdicts": {r.gate: str(r.verdict) for r in judgement.reports}}
