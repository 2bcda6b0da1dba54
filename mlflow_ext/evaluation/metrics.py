"""The metrics of a binary classifier, by name. A new one is one line in `METRICS`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mlflow_ext.errors import DirectionError, TableError, UnknownNameError
from mlflow_ext.evaluation.predictions import TABLE, Array, Predictions

Direction = Literal["maximize", "minimize"]
BINS = 15
NOISE = 1e-9  # what summing the same rows in another order may change


@dataclass(frozen=True)
class Metric:
    """One figure that says how good predictions are."""

    direction: Direction
    """Whether more is better."""
    compute: Callable[[Predictions], float]
    needs_both_classes: bool = False
    """True when the figure has no meaning on rows of one class."""


def score(
    metric: str, labels: Array, probability: Array, *, decision_threshold: float = 0.5
) -> float:
    """Compute one metric.

    Args:
        metric: A name in `METRICS`.
        labels: Shape (rows,), 0 or 1.
        probability: Shape (rows,), in [0, 1].
        decision_threshold: Probability from which the positive class is predicted, in (0, 1).

    Returns:
        The value; NaN only for the precision of a model that predicts no positive at all.

    Raises:
        UnknownNameError: There is no such metric.
        TableError: The arrays cannot be used, or hold one class where the metric needs both.

    >>> round(score("brier", np.array([0, 1]), np.array([0.2, 0.8])), 6)
    0.04
    """
    return score_of(metric, Predictions(TABLE, labels, probability, decision_threshold))


def score_of(metric: str, predictions: Predictions) -> float:
    """Compute one metric of *predictions*. Values and errors are those of `score`."""
    if not has_classes_for(metric, predictions):
        only = f"all {predictions.rows} labels are {predictions.labels[0]}"
        raise TableError(
            TABLE, only, f"both classes, for {metric}", "score rows with both outcomes"
        )
    return float(find_metric(metric).compute(predictions))


def score_all(labels: Array, probability: Array, decision_threshold: float) -> dict[str, float]:
    """Compute every metric of `METRICS`: name -> value; arguments as for `score`."""
    predictions = Predictions(TABLE, labels, probability, decision_threshold)
    return {metric: score_of(metric, predictions) for metric in METRICS}


def find_metric(metric: str) -> Metric:
    """Return the metric of that name.

    Raises:
        UnknownNameError: There is no such metric.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    return METRICS[metric]


def has_classes_for(metric: str, predictions: Predictions) -> bool:
    """Say whether *predictions* hold both classes, or *metric* does not need them.

    Raises:
        UnknownNameError: There is no such metric.
    """
    return predictions.has_both_classes or not find_metric(metric).needs_both_classes


def direction(metric: str) -> Direction:
    """Say whether *metric* is to be maximized or minimized.

    Raises:
        UnknownNameError: There is no such metric.
    """
    return find_metric(metric).direction


def check_direction(metric: str, stated: str) -> None:
    """Refuse a direction that contradicts the metric: a maximized loss would reward bad models.

    Raises:
        UnknownNameError: There is no such metric.
        DirectionError: *stated* is not the metric's own direction.
    """
    if stated != direction(metric):
        raise DirectionError(metric, stated, direction(metric))


def reaches(value: float, bound: float, towards: Direction) -> bool:
    """Say whether *value* is at least as good as *bound*; equal, up to rounding noise, is enough.

    >>> reaches(0.1 + 0.2, 0.3, "minimize")
    True
    """
    if math.isclose(value, bound, rel_tol=NOISE, abs_tol=NOISE):
        return True
    return value > bound if towards == "maximize" else value < bound


def reliability(labels: Array, probability: Array) -> tuple[Array, Array, Array]:
    """Group rows of similar predicted probability and compare it with what happened.

    The `BINS` bins hold equally many rows (quantiles of *probability*), so that no bin rests on a
    handful; equal probabilities always share a bin, so the order of rows does not matter.

    Args:
        labels: Shape (rows,), 0 or 1.
        probability: Shape (rows,), in [0, 1].

    Returns:
        Mean probability, share of positives and number of rows, each of shape (bins,), for the
        bins that hold rows.
    """
    edges = np.quantile(probability, np.linspace(0, 1, BINS + 1)[1:-1])
    bin_of = np.searchsorted(edges, probability, side="right")
    rows = np.bincount(bin_of, minlength=BINS)
    used = rows > 0
    mean = np.bincount(bin_of, probability, minlength=BINS)[used] / rows[used]
    positives = np.bincount(bin_of, labels, minlength=BINS)[used] / rows[used]
    return mean, positives, rows[used]


def _expected_calibration_error(predictions: Predictions) -> float:
    """Row-weighted gap between predicted and observed share, in [0, 1].

    Source: Naeini, Cooper & Hauskrecht (2015), AAAI, 2901-2907, as restated by Guo et al. (2017),
    ICML, 1321-1330; for the positive class, over bins of equal mass instead of equal width.
    """
    mean, positives, rows = reliability(predictions.labels, predictions.probability)
    return float(np.average(np.abs(mean - positives), weights=rows))


def _of_decisions(function: str, **options: Any) -> Callable[[Predictions], float]:
    return lambda p: _sklearn(function)(p.labels, p.decisions, **options)


def _of_probability(function: str, **options: Any) -> Callable[[Predictions], float]:
    return lambda p: _sklearn(function)(p.labels, p.probability, **options)


def _sklearn(function: str) -> Callable[..., float]:
    import sklearn.metrics

    found: Callable[..., float] = getattr(sklearn.metrics, function)
    return found


METRICS: dict[str, Metric] = {
    "accuracy": Metric("maximize", _of_decisions("accuracy_score")),
    "precision": Metric("maximize", _of_decisions("precision_score", zero_division=np.nan), True),
    "recall": Metric("maximize", _of_decisions("recall_score"), True),
    "f1": Metric("maximize", _of_decisions("f1_score"), True),
    "roc_auc": Metric("maximize", _of_probability("roc_auc_score"), True),
    "average_precision": Metric("maximize", _of_probability("average_precision_score"), True),
    "log_loss": Metric("minimize", _of_probability("log_loss", labels=[0, 1])),
    "brier": Metric("minimize", _of_probability("brier_score_loss", pos_label=1)),
    "ece": Metric("minimize", _expected_calibration_error),
}
