"""`mlflow.models.evaluate` with our evaluator, alone and beside MLflow's own."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from judged_models import fit, flights
from mlflow.models import infer_signature
from mlflow.models.evaluation import EvaluationResult
from sklearn.svm import LinearSVC

from mlflow_ext.errors import (
    EvaluatorConfigError,
    TableError,
    UnknownNameError,
    UnusableModelError,
)
from mlflow_ext.evaluation.metrics import METRICS, score

INPUTS = ["x", "hour"]
NO_SHAP = {"default": {"log_explainer": False, "log_model_explainability": False}}


@pytest.fixture
def rows():
    """Inputs, target, a column to slice by, and probabilities that a model has given."""
    frame = flights(seed=2)
    part = pd.Series(np.where(frame.hour < 12, "am", "pm"))
    return frame.assign(part=part, p=fit().predict_proba(frame[INPUTS])[:, 1])


def log_model(estimator=None):
    with mlflow.start_run():
        return mlflow.sklearn.log_model(
            estimator or fit(),
            name="model",
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
            signature=infer_signature(flights()[INPUTS].astype("float64")),
        )


def evaluate(data, model=None, evaluators="mlflow_ext", config=None, **options):
    """Evaluate *data* in a run of its own; returns MLflow's result."""
    data = data.astype({"hour": "float64"}) if "hour" in data else data
    options = {"targets": "late", "model_type": "classifier", "evaluator_config": config} | options
    with mlflow.start_run():
        return mlflow.models.evaluate(model, data, evaluators=evaluators, **options)


def files(client, run_id, folder=None):
    return {file.path for file in client.list_artifacts(run_id, folder)}


def test_a_registered_model_gets_metrics_intervals_slices_and_figures(tracking, rows):
    info = log_model()
    config = {"slices": ["part"], "split": "holdout"}
    result = evaluate(rows, info.model_uri, config=config)
    for metric in METRICS:
        expected = score(metric, rows.late, rows.p)
        assert result.metrics[f"holdout.{metric}"] == pytest.approx(expected)
        low, high = (result.metrics[f"holdout.{metric}.{end}"] for end in ("low", "high"))
        assert low < high
    assert set(result.artifacts) == {
        "evaluation",
        "roc",
        "pr",
        "calibration",
        "confusion",
        "slices",
    }
    run = tracking.get_run(result.run_id)
    assert run.data.metrics["holdout.roc_auc"] == result.metrics["holdout.roc_auc"]
    assert "figures/calibration.png" in files(tracking, result.run_id, "figures")
    table = result.artifacts["slices"].content
    assert dict(zip(table["columns"], table["data"][0], strict=True))["value"] == "am"


def test_the_metrics_are_linked_to_the_model_and_the_data(tracking, rows):
    info = log_model()
    evaluate(rows, info.model_uri)
    metrics = {m.key: m for m in tracking.get_logged_model(info.model_id).metrics}
    assert metrics["test.roc_auc"].dataset_digest


def test_our_metrics_stand_beside_those_of_the_default_evaluator(tracking, rows):
    info = log_model()
    alone = evaluate(rows[[*INPUTS, "late"]], info.model_uri, "default", NO_SHAP["default"])
    both = evaluate(rows[[*INPUTS, "late"]], info.model_uri, ["default", "mlflow_ext"], NO_SHAP)
    assert {name: both.metrics[name] for name in alone.metrics} == pytest.approx(alone.metrics)
    assert set(both.artifacts) > set(alone.artifacts)
    assert both.metrics["test.roc_auc"] == pytest.approx(both.metrics["roc_auc"])


def test_nobody_who_names_no_evaluator_gets_ours(tracking, rows):
    info = log_model()
    config = {"pos_label": 1, "log_explainer": False, "log_model_explainability": False}
    result = evaluate(rows[[*INPUTS, "late"]], info.model_uri, None, config)
    assert not [name for name in result.metrics if name.startswith("test.")]
    assert "roc_auc" in result.metrics


def test_probabilities_without_a_model_are_enough(tracking, rows):
    result = evaluate(rows, predictions="p")
    assert result.metrics["test.roc_auc"] == pytest.approx(score("roc_auc", rows.late, rows.p))


def test_beside_predicted_classes_the_probabilities_have_a_column_of_their_own(tracking, rows):
    data = rows.assign(said=(rows.p > 0.5).astype("int64"))
    config = {**NO_SHAP, "mlflow_ext": {"probability": "p"}}
    result = evaluate(data, None, ["default", "mlflow_ext"], config, predictions="said")
    assert result.metrics["accuracy_score"] == pytest.approx(result.metrics["test.accuracy"])
    assert result.metrics["test.brier"] == pytest.approx(score("brier", rows.late, rows.p))


def test_a_function_is_a_model_too(tracking, rows):
    result = evaluate(rows, lambda frame: frame["p"])
    assert result.metrics["test.brier"] == pytest.approx(score("brier", rows.late, rows.p))


def test_the_positive_class_may_be_a_word(tracking, rows):
    data = rows.assign(late=np.where(rows.late == 1, "yes", "no"))
    result = evaluate(data, predictions="p", config={"positive": "yes", "decision_threshold": 0.3})
    expected = score("recall", rows.late, rows.p, decision_threshold=0.3)
    assert result.metrics["test.recall"] == pytest.approx(expected)


def test_the_result_is_saved_and_read_back(tracking, rows, tmp_path):
    result = evaluate(rows, predictions="p", config={"slices": ["part"]})
    result.save(str(tmp_path / "saved"))
    read = EvaluationResult.load(str(tmp_path / "saved"))
    assert read.metrics == result.metrics
    assert read.artifacts["evaluation"].content == result.artifacts["evaluation"].content
    assert json.dumps(read.artifacts["evaluation"].content["test"]["intervals"]["roc_auc"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"slcies": ["part"]}, "unknown key 'slcies'.*rename it to 'slices'"),
        ({"level": 95}, "'level' is 95"),
        ({"decision_threshold": "half"}, "'decision_threshold' is 'half'"),
    ],
)
def test_an_option_that_is_none_is_named(tracking, rows, config, said):
    with pytest.raises(EvaluatorConfigError, match=f"(?s){said}"):
        evaluate(rows, predictions="p", config=config)


BAD = {
    "a missing label": (
        lambda rows: rows.assign(late=rows.late.where(rows.index > 3)),
        "missing in 4",
    ),
    "no rows": (lambda rows: rows.drop(columns="part").head(0), "never 1"),
    "one class": (lambda rows: rows[rows.late == 1], "all 1"),
    "a missing probability": (lambda rows: rows.assign(p=rows.p.where(rows.index > 3)), "nan in 4"),
    "a probability above 1": (lambda rows: rows.assign(p=rows.p * 2), "in 136 of 300 rows"),
    "classes": (lambda rows: rows.assign(p=(rows.p > 0.5).astype("int64")), "'p' is int64"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_judged_is_an_error_that_says_why(tracking, rows, case):
    spoil, said = BAD[case]
    with pytest.raises(TableError, match=said):
        evaluate(spoil(rows), predictions="p")


def test_a_model_without_probabilities_says_what_is_needed(tracking, rows):
    info = log_model(fit(LinearSVC()))
    with pytest.raises(UnusableModelError, match="predict_proba"):
        evaluate(rows[[*INPUTS, "late"]], info.model_uri)


@pytest.mark.parametrize("config", [{"slices": ["prat"]}, {"probability": "prat"}])
def test_a_column_that_is_not_there_is_named(tracking, rows, config):
    with pytest.raises(UnknownNameError, match="'prat'"):
        evaluate(rows, predictions="p", config=config)
