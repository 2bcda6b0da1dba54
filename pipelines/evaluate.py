"""Step 6: measure the logged model on rows it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlflow

from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.report import log_evaluation
from mlflow_ext.evaluation.slices import slice_table
from pipelines.features import Prepared
from pipelines.split import Part, Problem, cut
from pipelines.train import Trained


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Every metric on both parts."""

    validation: dict[str, float | None]
    holdout: dict[str, float | None]


def evaluate(
    problem: Problem, slices: Sequence[str], features: Prepared, train: Trained
) -> Evaluated:
    """Score validation and holdout, overall and by slice, and log tables and figures."""
    parts = cut(features.table, problem)
    scored = {
        "validation": predict(train.logged.uri, "validation", parts.validation, problem),
        "holdout": predict(train.logged.uri, "holdout", parts.holdout, problem),
    }
    tables = {
        "validation": slice_table(parts.validation.frame, scored["validation"], slices),
        "holdout": slice_table(parts.holdout.frame, scored["holdout"], slices),
    }
    found = log_evaluation(list(scored.values()), tables, model_id=train.logged.model_id)
    return Evaluated(validation=found["validation"].metrics, holdout=found["holdout"].metrics)


def predict(model_uri: str, name: str, part: Part, problem: Problem) -> Predictions:
    """Score one part with the model at *model_uri* (or in that folder), as a server would."""
    model = mlflow.sklearn.load_model(model_uri)
    probability = model.predict_proba(part.X)[:, 1]
    return Predictions(name, part.y.to_numpy(), probability, problem.decision_threshold)
