"""What the step tune takes from the registry and the command line, and says when nothing works."""

import sqlite3

import mlflow
import pytest
from servers import ROOT
from small_project import make_project

from mlflow_ext.errors import MlflowExtError
from mlflow_ext.project import load_project
from pipelines.main import run
from pipelines.tune import _champion_point

SEARCH = load_project(ROOT / "project.yaml").search
PARAMS = {"learning_rate": 0.125, "max_iter": 45, "max_leaf_nodes": 31, "min_samples_leaf": 9}
OPTIONS = {"through": "2013-04", "reuse": True, "n_trials": 3, "timeout": None, "study": "delays"}


def register_champion(client, estimator):
    with mlflow.start_run() as parent:
        mlflow.log_params({"estimator": estimator, **PARAMS})
    client.create_registered_model("delays")
    source = f"runs:/{parent.info.run_id}/model"
    version = client.create_model_version("delays", source, run_id=parent.info.run_id)
    client.set_registered_model_alias("delays", "champion", version.version)


def test_the_champions_parameters_are_read_as_far_as_they_fit(tracking):
    assert _champion_point(SEARCH, "delays", "champion") == ()
    register_champion(tracking, SEARCH.estimator)

    expected = {name: PARAMS[name] for name in ("learning_rate", "max_iter", "max_leaf_nodes")}
    [point] = _champion_point(SEARCH, "delays", "champion")
    assert point == expected
    assert {name: type(value) for name, value in point.items()} == {
        "learning_rate": float,
        "max_iter": int,
        "max_leaf_nodes": int,
    }
    assert _champion_point(SEARCH, "delays", "") == ()


def test_a_champion_of_another_kind_is_no_first_trial(tracking):
    register_champion(tracking, "sklearn.linear_model.LogisticRegression")

    assert _champion_point(SEARCH, "delays", "champion") == ()


def test_a_registry_that_fails_is_not_taken_for_one_without_a_champion(tracking, tmp_path):
    register_champion(tracking, SEARCH.estimator)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("ALTER TABLE registered_model_aliases RENAME TO elsewhere")

    with pytest.raises(MlflowExtError, match="registered_model_aliases"):
        _champion_point(SEARCH, "delays", "champion")


def test_a_champion_without_its_run_is_no_first_trial(tracking):
    tracking.create_registered_model("delays")
    version = tracking.create_model_version("delays", "somewhere").version
    tracking.set_registered_model_alias("delays", "champion", version)

    assert _champion_point(SEARCH, "delays", "champion") == ()


@pytest.fixture
def broken(tracking, tmp_path):
    fixed = {"random_state": 0, "early_stopping": False, "loss": "no such loss"}
    make_project(tmp_path, {"search.fixed": fixed})


@pytest.mark.usefixtures("broken")
def test_when_every_trial_fails_the_answer_is_no_with_the_first_exception(capsys):
    assert run("tune", OPTIONS | {"workers": 2}) == 1
    said = capsys.readouterr().out

    assert "no trial of study 'delays' completed" in said
    assert "3 FAIL; the first exception: InvalidParameterError" in said
    assert "choose another study name" in said


@pytest.mark.usefixtures("broken")
def test_an_unknown_sampler_on_the_command_line_is_told_before_anything_runs(capsys):
    assert run("tune", OPTIONS | {"sampler": "anneal"}) == 2

    assert "'sampler' is 'anneal'" in capsys.readouterr().err
