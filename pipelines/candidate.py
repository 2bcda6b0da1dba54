"""The model of one trial. It stands apart so that a worker process imports little else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlflow_ext.data.features import make_model
from mlflow_ext.project import Features, Search
from mlflow_ext.tuning.space import build_estimator


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Parameters -> a whole model, not fitted."""

    columns: Features
    search: Search
    decision_threshold: float

    def __call__(self, params: dict[str, Any]) -> Any:
        """Build the model: preprocessing, the estimator with *params*, the threshold."""
        estimator = build_estimator(self.search, params)
        return make_model(
            self.columns.numeric, self.columns.categorical, estimator, self.decision_threshold
        )
