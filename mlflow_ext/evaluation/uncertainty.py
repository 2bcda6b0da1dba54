"""How sure one can be that two models differ, seen on the same rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlflow_ext.evaluation.metrics import score_of
from mlflow_ext.evaluation.predictions import Array, Predictions

RESAMPLES = 500
LEVEL = 0.95


def difference_interval(
    metric: str, challenger: Predictions, opponent: Predictions
) -> tuple[float, float] | None:
    """Bootstrap interval of a metric's difference between two models on the same rows.

    Rows are drawn with replacement within each class, the same draw for both models, so that what
    is hard or easy for both cancels out and no draw holds one class only.

    Args:
        metric: A name in `mlflow_ext.evaluation.metrics.METRICS`.
        challenger: Predictions of the first model; both classes must occur.
        opponent: Predictions of the second model for the same rows, in the same order.

    Returns:
        The 2.5 and 97.5 percentiles of challenger minus opponent over `RESAMPLES` seeded draws;
        None when the metric is undefined in one of them.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, section 13.3; paired and
    stratified as in Robin et al. (2011), BMC Bioinformatics 12:77 (pROC).
    """
    found = (
        _area_differences(challenger, opponent)
        if metric == "roc_auc"
        else _score_differences(metric, challenger, opponent)
    )
    differences = np.array(list(found))
    if np.isnan(differences).any():
        return None
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _draws(labels: Array) -> Iterator[tuple[Array, Array]]:
    """Positions of negatives and of positives, drawn anew `RESAMPLES` times."""
    random = np.random.default_rng(0)
    negatives, positives = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    for _ in range(RESAMPLES):
        yield random.choice(negatives, len(negatives)), random.choice(positives, len(positives))


def _score_differences(
    metric: str, challenger: Predictions, opponent: Predictions
) -> Iterator[float]:
    for drawn in _draws(challenger.labels):
        rows = np.concatenate(drawn)
        first_value, second_value = (score_of(metric, p.take(rows)) for p in (challenger, opponent))
        yield first_value - second_value


def _area_differences(challenger: Predictions, opponent: Predictions) -> Iterator[float]:
    """The same for ROC AUC, which needs the order only: sort once instead of at every draw."""
    first, second = (
        np.unique(p, return_inverse=True)[1] for p in (challenger.probability, opponent.probability)
    )
    for negatives, positives in _draws(challenger.labels):
        yield _area(first[negatives], first[positives]) - _area(
            second[negatives], second[positives]
        )


def _area(negatives: Array, positives: Array) -> float:
    """ROC AUC from whole-number ranks: the share of pairs in the right order, ties half."""
    size = int(max(negatives.max(), positives.max())) + 1
    below = np.bincount(negatives, minlength=size)
    won = np.cumsum(below) - below / 2
    return float(np.mean(won[positives]) / len(negatives))
