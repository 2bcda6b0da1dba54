"""An evaluation as a record, and as what one opens in the MLflow UI."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow_ext.evaluation.metrics import METRICS, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.records import to_dict

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.data.dataset import Dataset
    from mlflow.entities import Dataset as LoggedDataset


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good the predictions for one split are."""

    split: str
    rows: int
    positive_rate: float
    """Share of rows whose label is 1."""
    decision_threshold: float
    """Probability from which the positive class was predicted."""
    metrics: dict[str, float | None]
    """Metric -> value; None where it is undefined."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Metric -> its confidence interval, where one was asked for and the rows can say."""

    @property
    def values(self) -> dict[str, float]:
        """The defined values under the names they have in MLflow, e.g. ``holdout.roc_auc``."""
        ends = {
            f"{metric}.{end}": value
            for metric, interval in self.intervals.items()
            for end, value in zip(("low", "high"), interval, strict=True)
        }
        found = {"rows": self.rows, "positive_rate": self.positive_rate, **self.metrics, **ends}
        return {f"{self.split}.{name}": value for name, value in found.items() if value is not None}


def evaluate(predictions: Predictions, level: float | None = None) -> Evaluation:
    """Compute every metric of one split.

    Args:
        predictions: The split.
        level: Confidence of an interval for each metric, in (0, 1); None: no intervals.

    Raises:
        TableError: The rows hold one class only.
    """
    values = {metric: score_of(metric, predictions) for metric in METRICS}
    return Evaluation(
        split=predictions.split,
        rows=predictions.rows,
        positive_rate=predictions.positive_rate,
        decision_threshold=predictions.decision_threshold,
        metrics={metric: None if math.isnan(v) else v for metric, v in values.items()},
        intervals=_intervals(predictions, level) if level else {},
    )


def _intervals(predictions: Predictions, level: float) -> dict[str, tuple[float, float]]:
    from mlflow_ext.evaluation.statistics.intervals import interval

    found = {metric: interval(metric, predictions, level) for metric in METRICS}
    return {metric: ends for metric, ends in found.items() if ends}


def log_evaluation(
    predictions: Sequence[Predictions],
    slices: Mapping[str, pd.DataFrame],
    *,
    model_id: str | None = None,
    datasets: Mapping[str, Dataset | LoggedDataset] | None = None,
    level: float | None = None,
) -> dict[str, Evaluation]:
    """Evaluate each split and log everything in the active MLflow run.

    Metrics are called ``SPLIT.METRIC``; the figures lie in ``figures/``, the tables in ``slices/``
    and all values in ``evaluation.json``.

    Args:
        predictions: One per split.
        slices: Split -> its `slice_table`.
        model_id: The logged model that predicted; its page then shows the metrics too.
        datasets: Split -> the MLflow dataset of its rows, to which the metrics are linked.
        level: Confidence of an interval for each metric, in (0, 1), logged as ``SPLIT.METRIC.low``
            and ``.high``; None: no intervals.

    Returns:
        Split -> its evaluation.

    Raises:
        TableError: A split holds one class only.
        mlflow.exceptions.MlflowException: There is no run to log to, or the store refuses.
    """
    import mlflow

    evaluations = {one.split: evaluate(one, level) for one in predictions}
    for split, one in evaluations.items():
        dataset = (datasets or {}).get(split)
        mlflow.log_metrics(one.values, model_id=model_id, dataset=dataset)
    mlflow.log_dict({s: to_dict(e) for s, e in evaluations.items()}, "evaluation.json")
    _log_figures(predictions)
    for split, table in slices.items():
        mlflow.log_table(table, f"slices/{split}.json")
    return evaluations


def _log_figures(predictions: Sequence[Predictions]) -> None:
    import mlflow

    from mlflow_ext.evaluation.figures import draw_all

    for name, figure in draw_all(predictions).items():
        mlflow.log_figure(figure, f"figures/{name}.png")
