"""Do probabilities mean what they say? What a logistic regression on them would change."""

from __future__ import annotations

import math

import numpy as np

from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.intervals import LEVEL, z_score

TINY = 1e-6  # a probability of 0 or 1 has no finite log odds
ROUNDS, CLOSE, LARGEST_STEP = 50, 1e-9, 2.0
FEWEST = 10  # rows of each class below which large-sample theory is silent


def calibration_slope(predictions: Predictions, level: float = LEVEL) -> Estimate:
    """Fit outcome ~ intercept + slope * log odds of the prediction, and return the slope.

    1 is ideal; below 1 the probabilities are too extreme (the model is too sure of itself), above 1
    too modest. Probabilities are moved into [`TINY`, 1 - `TINY`].

    Args:
        predictions: The rows.
        level: Confidence of the two-sided interval, in (0, 1).

    Returns:
        The slope; NaN where a class has fewer than `FEWEST` rows, the probabilities are all the
        same, or they tell the classes apart without a mistake, so that no slope is steep enough.

    Source: Cox (1958), Biometrika 45:562-565; the variance holds although the line may not be the
    truth: White (1982), Econometrica 50:1-25.
    """
    odds = _log_odds(predictions)
    if np.ptp(odds) == 0:
        return _unknown(predictions)
    design = np.column_stack([np.ones_like(odds), odds])
    return _fit(predictions, design, np.zeros_like(odds), level)


def calibration_intercept(predictions: Predictions, level: float = LEVEL) -> Estimate:
    """Fit outcome ~ intercept + log odds of the prediction: calibration in the large.

    0 is ideal; above 0 the probabilities are too low on the whole, below 0 too high. The unit is
    that of log odds: 0.1 is about 2.5 points at a rate of one half.

    Args:
        predictions: The rows.
        level: Confidence of the two-sided interval, in (0, 1).

    Returns:
        The intercept; NaN where a class has fewer than `FEWEST` rows.

    Source: Van Calster et al. (2019), BMC Medicine 17:230.
    """
    odds = _log_odds(predictions)
    return _fit(predictions, np.ones((len(odds), 1)), odds, level)


def _log_odds(predictions: Predictions) -> Array:
    clipped = np.clip(predictions.probability, TINY, 1 - TINY)
    odds: Array = np.log(clipped / (1 - clipped))
    return odds


def _fit(predictions: Predictions, design: Array, offset: Array, level: float) -> Estimate:
    """Estimate the last coefficient of a logistic regression."""
    labels, rows = predictions.labels, predictions.rows
    if min(labels.sum(), rows - labels.sum()) < FEWEST:
        return _unknown(predictions)
    try:
        found = _newton(labels, design, offset)
        value, error = float(found[-1]), _standard_error(labels, design, offset + design @ found)
    except np.linalg.LinAlgError:
        return _unknown(predictions)
    reach = z_score(level) * error
    return Estimate(value=value, low=value - reach, high=value + reach, rows=rows)


def _unknown(predictions: Predictions) -> Estimate:
    return Estimate(value=math.nan, low=math.nan, high=math.nan, rows=predictions.rows)


def _newton(labels: Array, design: Array, offset: Array) -> Array:
    """Maximise the likelihood.

    Raises:
        numpy.linalg.LinAlgError: It has no single finite maximum.
    """
    found = np.zeros(design.shape[1])
    for _ in range(ROUNDS):
        expected = _expected(offset + design @ found)
        step = np.linalg.solve(_information(design, expected), design.T @ (labels - expected))
        # Far from the maximum the likelihood is flat, and a whole step would leap over it.
        found += np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        if np.abs(step).max() < CLOSE:
            return found
    raise np.linalg.LinAlgError("no maximum")


def _standard_error(labels: Array, design: Array, odds: Array) -> float:
    """Of the last coefficient: information, scores, information (the sandwich)."""
    expected = _expected(odds)
    inverse = np.linalg.inv(_information(design, expected))
    scores = design * (labels - expected)[:, None]
    return float(np.sqrt((inverse @ (scores.T @ scores) @ inverse)[-1, -1]))


def _information(design: Array, expected: Array) -> Array:
    information: Array = (design * (expected * (1 - expected))[:, None]).T @ design
    return information


def _expected(odds: Array) -> Array:
    from scipy.special import expit

    expected: Array = expit(odds)
    return expected
