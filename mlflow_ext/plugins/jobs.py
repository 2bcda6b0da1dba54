"""The MLflow job by which a server judges a version itself; see `registry/recomputation.py`.

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
    from mlflow import MlflowClient
    from mlflow.tracking._model_registry.utils import _get_store

    from mlflow_ext.data.model_files import local_copy
    from mlflow_ext.gates.declaration import read_declaration
    from mlflow_ext.gates.registered import judge_version
    from mlflow_ext.registry.caller import Caller
    from mlflow_ext.registry.recomputation import JOB, server_gates
    from mlflow_ext.registry.service import record_recomputed

    declaration = read_declaration(server_gates())
    reports = judge_version(MlflowClient(), declaration, model, int(version))
    caller = Caller(actor="mlflow server", is_claimed=False, client=JOB)
    ids = record_recomputed(_get_store(), model, int(version), reports, caller)
    return {"ids": list(ids), "verdicts": {report.gate: str(report.verdict) for report in reports}}
