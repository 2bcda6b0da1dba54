"""The server judges for itself: an MLflow job that takes a model and a version, and nothing else.

Any client can start a job with any parameters. Data, gates and thresholds therefore come from the
file that the server's own environment names.
"""

from __future__ import annotations

import os
from pathlib import Path

from mlflow_ext.errors import RegistryStateError

GATES_VARIABLE = "MLFLOW_EXT_GATES"
"""Environment variable: the file of declared gates."""
SERVER = "mlflow server"
"""As whom the server judges."""
JOB = "mlflow_ext_recompute"
JOB_FUNCTIONS = "_MLFLOW_SUPPORTED_JOB_FUNCTION_LIST"
JOB_VARIABLES = {
    JOB_FUNCTIONS: "mlflow_ext.plugins.jobs.recompute",
    "_MLFLOW_ALLOWED_JOB_NAME_LIST": JOB,
}
"""What makes a server know the job; MLflow has no entry point for it. Values may be lists, with
commas."""
START = f"{GATES_VARIABLE}=gates.yaml mlflow-ext server …"


def server_gates() -> Path:
    """Return the file of gates by which this server judges.

    Raises:
        RegistryStateError: It was started without one.
    """
    named = os.environ.get(GATES_VARIABLE)
    if not named:
        found = f"this server was started without {GATES_VARIABLE}"
        raise RegistryStateError(found, "a file that declares the gates by which it judges", START)
    return Path(named)


def start_recomputation(model: str, version: int) -> str:
    """Let this server judge a version, soon; returns the id of the MLflow job.

    Raises:
        RegistryStateError: This server names no gates, or was started without the job.
        mlflow.exceptions.MlflowException: Its job engine is off.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.server.jobs import submit_job
    from mlflow.server.jobs.utils import _load_function, get_job_fn_fullname

    server_gates()
    try:
        name = get_job_fn_fullname(JOB)
    except MlflowException:
        found = f"this server was started without the job {JOB}"
        raise RegistryStateError(found, "a server that knows it", START) from None
    job = submit_job(_load_function(name), {"model": model, "version": version})
    return str(job.job_id)
