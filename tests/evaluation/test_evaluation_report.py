"""The evaluation as a record and in a real MLflow store."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_ext.errors import TableError
from mlflow_ext.evaluation.metrics import METRICS, score_all
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.report import Evaluation, evaluate, log_evaluation
from mlflow_ext.evaluation.slices import slice_table
from mlflow_ext.records import from_json, to_json


def scored(split, rows=240):
    random = np.random.default_rng(rows)
    truth = random.random(rows)
    return Predictions(split, (random.random(rows) < truth).astype(int), truth, 0.3)


def test_an_evaluation_holds_every_metric_and_survives_json():
    one = scored("holdout")
    found = evaluate(one)
    assert found.metrics == score_all(one.labels, one.probability, 0.3)
    assert from_json(Evaluation, to_json(found)) == found


def test_an_undefined_metric_is_none_and_has_no_value_to_log():
    found = evaluate(Predictions("holdout", np.array([0, 1]), np.array([0.1, 0.2]), 0.9))
    assert found.metrics["precision"] is None
    assert "holdout.precision" not in found.values
    assert found.values["holdout.rows"] == 2


def test_one_class_has_no_evaluation():
    with pytest.raises(TableError, match="both classes"):
        evaluate(Predictions("holdout", np.zeros(3, dtype=int), np.full(3, 0.1)))


def test_everything_is_logged_under_names_that_the_ui_shows(tracking):
    splits = [scored("validation", 200), scored("holdout")]
    frame = pd.DataFrame({"origin": ["EWR", "JFK"] * 60 + ["LGA"] * 120})
    table = slice_table(frame, splits[1], ["origin"], minimum_rows=100)
    with mlflow.start_run() as run:
        evaluations = log_evaluation(splits, {"holdout": table})
    logged = tracking.get_run(run.info.run_id)
    values = evaluations["validation"].values | evaluations["holdout"].values
    assert logged.data.metrics == pytest.approx(values)
    assert {f"holdout.{metric}" for metric in METRICS} < set(values)
    drawn = {entry.path for entry in tracking.list_artifacts(run.info.run_id, "figures")}
    assert drawn == {f"figures/{n}.png" for n in ("roc", "pr", "calibration", "confusion")}
    stored = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/evaluation.json"))
    assert stored["holdout"]["metrics"] == evaluations["holdout"].metrics
    again = mlflow.load_table("slices/holdout.json", run_ids=[run.info.run_id])
    assert list(again["value"]) == ["EWR", "JFK", "LGA"]
    assert again["roc_auc"].isna().tolist() == [True, True, False]
    tables = json.loads(logged.data.tags["mlflow.loggedArtifacts"])
    assert tables == [{"path": "slices/holdout.json", "type": "table"}]


def test_metrics_are_linked_to_the_model_and_to_the_rows_they_were_computed_from(tracking):
    holdout = mlflow.data.from_pandas(pd.DataFrame({"x": [1.0, 2.0]}), name="holdout")
    with mlflow.start_run() as run:
        model = mlflow.initialize_logged_model(name="model")
        log_evaluation(
            [scored("holdout")], {}, model_id=model.model_id, datasets={"holdout": holdout}
        )
    metrics = tracking.get_logged_model(model.model_id).metrics
    linked = {m.key: (m.dataset_name, m.dataset_digest, m.run_id) for m in metrics}
    assert linked["holdout.roc_auc"] == ("holdout", holdout.digest, run.info.run_id)
