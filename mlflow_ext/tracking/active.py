"""The run that is active."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ext.errors import NoActiveRunError

if TYPE_CHECKING:
    from mlflow import ActiveRun


def active_run() -> ActiveRun:
    """Return the active MLflow run.

    Raises:
        NoActiveRunError: None is active.
    """
    import mlflow

    run = mlflow.active_run()
    if run is None:
        raise NoActiveRunError
    return run
