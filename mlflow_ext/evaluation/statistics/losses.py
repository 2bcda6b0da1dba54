"""The metrics that are means of one loss per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from mlflow_ext.evaluation.predictions import Array, Predictions

TINY = float(np.finfo(float).eps)  # where scikit-learn clips, too


def _squared_error(predictions: Predictions) -> Array:
    return np.asarray(np.square(predictions.probability - predictions.labels))


def _surprise(predictions: Predictions) -> Array:
    """Negative logarithm of the probability that was given to what happened, in nats."""
    clipped = np.clip(predictions.probability, TINY, 1 - TINY)
    return -np.log(np.where(predictions.labels == 1, clipped, 1 - clipped))


LOSSES: Mapping[str, Callable[[Predictions], Array]] = MappingProxyType(
    {"brier": _squared_error, "log_loss": _surprise}
)
"""Metric -> the loss of each row, shape (rows,); the metric is their mean."""
