"""Runs that an interruption has left active."""

import mlflow
import pytest

from mlflow_ext.tracking.active import ending_active_runs


def test_a_run_that_was_begun_and_never_entered_ends_with_those_around_it(tracking):
    with pytest.raises(KeyboardInterrupt), ending_active_runs(), mlflow.start_run() as outer:
        inner = mlflow.start_run(nested=True)  # and its block is not reached
        raise KeyboardInterrupt

    ids = [run.info.run_id for run in (outer, inner)]
    assert [tracking.get_run(run_id).info.status for run_id in ids] == ["FAILED", "FAILED"]
    assert mlflow.active_run() is None


def test_a_block_that_ends_well_leaves_the_active_run_alone(tracking):
    with mlflow.start_run() as run, ending_active_runs():
        mlflow.log_metric("m", 1.0)

    assert tracking.get_run(run.info.run_id).info.status == "FINISHED"
