"""Logging and registering real models, and reading them back as a server would."""

import importlib.metadata
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mlflow_ext.errors import ModelNotFoundError, NoActiveRunError, RegistryStateError
from mlflow_ext.project import load_project
from mlflow_ext.records import to_json
from mlflow_ext.registry.card import ModelCard, describe_model, load_policy, write_policy
from mlflow_ext.registry.model import as_doubles, log_model, register_model

PROJECT = load_project(Path(__file__).resolve().parents[2] / "project.yaml")


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    return pd.DataFrame({"hour": random.integers(0, 24, 60), "wind": random.normal(10, 3, 60)})


@pytest.fixture(scope="module")
def boosting(rows):
    return HistGradientBoostingClassifier(max_iter=5).fit(rows, rows["hour"] > 12)


def make_card(project=PROJECT):
    return ModelCard(
        project=project,
        project_digest="d" * 64,
        fingerprints={"features": "f" * 64},
        kpis={"roc_auc": 0.7123456, "brier": 0.2},
    )


def register(shop, logged, card):
    describe_model(shop.client, card)
    return register_model(shop.client, logged, card)


def log(model, rows, **tags):
    with mlflow.start_run(tags=tags):
        return log_model(model, rows.head(5))


def test_a_model_is_logged_so_that_a_server_can_use_it(shop, rows, boosting):
    logged = log(boosting, rows)
    info = mlflow.models.get_model_info(logged.uri)
    assert [(c.name, c.type.name) for c in info.signature.inputs] == [
        ("hour", "double"),
        ("wind", "double"),
    ]
    assert info.signature.outputs is not None
    assert info.saved_input_example_info["pandas_orient"] == "split"
    sklearn_flavor = info.flavors["sklearn"]
    assert sklearn_flavor["serialization_format"] == logged.serialization == "skops"
    assert sklearn_flavor["skops_trusted_types"] == [
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
    ]
    served = mlflow.pyfunc.load_model(logged.uri).predict(as_doubles(rows))
    assert np.array_equal(served, boosting.predict(rows))


def test_the_requirements_are_exact_and_explicit(shop, rows, boosting):
    folder = Path(mlflow.artifacts.download_artifacts(log(boosting, rows).uri))
    lines = (folder / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines)
    named = ("mlflow", "scikit-learn", "numpy", "pandas", "scipy", "skops", "cloudpickle")
    assert pins == {name: importlib.metadata.version(name) for name in named}


def test_a_model_of_local_code_is_logged_by_cloudpickle_and_loads_elsewhere(shop, rows):
    model = make_pipeline(FunctionTransformer(lambda x: x * 2), LogisticRegression())
    logged = log(model.fit(rows, rows["hour"] > 12), rows)
    version = register(shop, logged, make_card()).version
    tags = shop.client.get_model_version("flight-delay", str(version)).tags
    assert logged.serialization == tags["mlflow_ext.serialization"] == "cloudpickle"
    code = f"import mlflow; print(type(mlflow.sklearn.load_model('{logged.uri}')).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Pipeline"


def test_a_version_says_whence_it_comes(shop, rows, boosting):
    logged = log(boosting, rows, **{"mlflow_ext.commit": "abc", "mlflow_ext.dirty": "true"})
    registration = register(shop, logged, make_card())
    version = shop.client.get_model_version("flight-delay", str(registration.version))
    assert (registration.version, registration.logged) == (1, logged)
    assert (version.run_id, version.source) == (logged.run_id, logged.uri)
    assert version.tags == {
        "mlflow_ext.commit": "abc",
        "mlflow_ext.dirty": "true",
        "mlflow_ext.project_digest": "d" * 64,
        "mlflow_ext.serialization": "skops",
        "mlflow_ext.fingerprint.features": "f" * 64,
        "kpi.roc_auc": "0.712346",
        "kpi.brier": "0.2",
    }


def test_the_registered_model_says_what_it_is_for(shop, rows, boosting):
    register(shop, log(boosting, rows), make_card())
    model = shop.client.get_registered_model("flight-delay")
    assert PROJECT.goal in model.description and PROJECT.owner in model.description
    assert "**roc_auc** >= 0.67: below this" in model.description
    assert model.tags["goal"] == PROJECT.goal
    assert model.tags["owner"] == PROJECT.owner
    assert model.tags["kpi.brier"] == "<= 0.21"


def test_the_policy_is_read_as_it_was_written(shop):
    describe_model(shop.client, make_card())
    write_policy(shop.client, PROJECT.promotion)
    assert load_policy(shop.client, "flight-delay") == PROJECT.promotion


def test_a_model_that_nobody_has_described_gets_no_version(shop, rows, boosting):
    with pytest.raises(ModelNotFoundError, match="model 'flight-delay' is not in the registry"):
        register_model(shop.client, log(boosting, rows), make_card())


def test_registering_again_returns_the_version_that_is_there(shop, rows, boosting):
    logged = log(boosting, rows)
    first = register(shop, logged, make_card())
    assert register(shop, logged, make_card()) == first
    other = register(shop, log(boosting, rows), make_card())
    assert other.version == 2


def test_a_changed_project_updates_what_the_model_says(shop, rows, boosting):
    logged = log(boosting, rows)
    register(shop, logged, make_card())
    register(shop, logged, make_card(replace(PROJECT, owner="new@example.org")))
    assert shop.client.get_registered_model("flight-delay").tags["owner"] == "new@example.org"


def test_a_text_too_long_for_the_registry_is_an_error_before_it_is_cut(shop, rows, boosting):
    logged, wordy = log(boosting, rows), replace(PROJECT, goal="late " * 1000)
    with pytest.raises(RegistryStateError, match="at most 5000"):
        register(shop, logged, make_card(wordy))


def test_without_a_run_there_is_nothing_to_log_to(shop, rows, boosting):
    with pytest.raises(NoActiveRunError, match="no MLflow run is active"):
        log_model(boosting, rows.head(5))


def test_a_model_that_loads_back_otherwise_is_not_accepted(shop, rows):
    with pytest.raises(RegistryStateError, match="answers otherwise"):
        log(Forgetful().fit(rows, rows["hour"] > 12), rows)


class Forgetful(LogisticRegression):
    """Loses what it learned on its way through a file."""

    def __getstate__(self):
        return {**super().__getstate__(), "intercept_": np.array([1e9])}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "is missing"),
        ('{"model": "delay"}', "is not a policy"),
        (to_json(PROJECT.promotion), "is the policy of 'flight-delay'"),
    ],
)
def test_a_model_without_a_readable_policy_is_an_error_that_names_the_fix(shop, text, what):
    shop.add_model(1)
    if text:
        shop.client.set_registered_model_tag("delay", "mlflow_ext.policy", text)
    with pytest.raises(RegistryStateError, match=what) as caught:
        load_policy(shop.client, "delay")
    assert caught.value.fix == "mlflow run . -e register --env-manager local"
