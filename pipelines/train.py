"""Step 5: fit one pipeline with the best parameters and log it."""

from __future__ import annotations

from dataclasses import dataclass

import mlflow

from mlflow_ext.data.features import make_model
from mlflow_ext.project import Search
from mlflow_ext.registry.model import LoggedModel, choose_example, log_model
from mlflow_ext.tuning.space import build_estimator
from pipelines.features import Prepared
from pipelines.split import Problem, cut
from pipelines.tune import Tuned


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The fitted model."""

    logged: LoggedModel
    """Where it lies, and how it was written."""
    rows: int
    """Rows it was fitted on."""
    promised: dict[str, str]
    """Metric -> what its parameters promise of it, in words; empty where nothing does."""


def train(problem: Problem, search: Search, features: Prepared, tune: Tuned) -> Trained:
    """Fit the model on the training months alone, so that validation and holdout stay unseen."""
    rows = cut(features.table, problem).train
    estimator = build_estimator(search, tune.params)
    model = make_model(
        problem.columns.numeric, problem.columns.categorical, estimator, problem.decision_threshold
    )
    model.fit(rows.X, rows.y)
    mlflow.log_params({"estimator": search.estimator, **tune.params})
    mlflow.log_metric("rows.train", len(rows.X))
    logged = log_model(model, choose_example(rows.X))
    promised = {tune.metric: tune.promise} if tune.promise else {}
    return Trained(logged=logged, rows=len(rows.X), promised=promised)
