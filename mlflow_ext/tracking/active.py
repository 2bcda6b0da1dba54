"""The run that is active."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def ending_active_runs() -> Iterator[None]:
    """End what is still active as FAILED when an exception leaves the block.

    One that falls between ``mlflow.start_run()`` and the block that it opens leaves a run behind.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        yield
    except BaseException:
        while mlflow.active_run():
            with suppress(MlflowException):  # the store is away: what has happened says more
                mlflow.end_run("FAILED")
        raise
