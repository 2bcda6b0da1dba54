"""Trials on Spark: a real one, on this machine."""

from dataclasses import replace

import pytest
import wide_study
from optuna.trial import TrialState
from wide_study import NAME, SEARCH, Bowl

from mlflow_ext.errors import TableError
from mlflow_ext.tuning.attributes import RETRY_OF
from mlflow_ext.tuning.journal import open_study
from mlflow_ext.tuning.study import run_study


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2, 4]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
    session.sparkContext.addPyFile(wide_study.__file__)
    yield session
    session.stop()


def run(folder, objective, n_trials=10):
    search = replace(SEARCH, n_trials=n_trials, workers=2, engine="spark")
    return run_study(search, objective, name=NAME, storage_dir=folder)


def trials_of(folder):
    return open_study(SEARCH, NAME, folder).trials


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_a_killed_task_loses_and_doubles_nothing(tmp_path):
    result = run(tmp_path, Bowl(tmp_path, 0.05, special=(3, "killed")))
    trials = trials_of(tmp_path)

    assert (result.n_complete, result.n_failed) == (10, 1)
    assert [t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs] == [3]
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    assert len({tuple(trial.params.items()) for trial in complete}) == 10


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_an_error_of_the_suite_on_spark_ends_the_study_and_costs_no_trial(tmp_path):
    with pytest.raises(TableError, match="bring it back"):
        run(tmp_path, Bowl(tmp_path, special=(2, "refused")))

    assert not [t for t in trials_of(tmp_path) if t.state is TrialState.RUNNING]
    assert run(tmp_path, Bowl(tmp_path)).n_complete == 10
    assert run(tmp_path, Bowl(tmp_path)).n_complete == 10, "nothing is missing: no job is begun"


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_what_stands_in_a_notebook_goes_along(tmp_path):
    shift = 7.0
    result = run(tmp_path, lambda trial: trial.suggest_float("x", -1.0, 1.0) + shift, 3)

    assert result.best_value == result.best_params["x"] + shift
