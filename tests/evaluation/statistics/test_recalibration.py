"""Calibration slope and intercept: against scikit-learn, and against outcomes of known truth."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.recalibration import calibration_intercept, calibration_slope


def draw(random, rows=1000, intercept=0.0, slope=1.0):
    p = random.beta(2, 5, rows)
    rate = 1 / (1 + np.exp(-intercept - slope * np.log(p / (1 - p))))
    return Predictions("holdout", (random.random(rows) < rate).astype(int), p)


def test_the_slope_is_that_of_a_logistic_regression_on_the_log_odds():
    found = draw(np.random.default_rng(0), slope=0.6)
    odds = np.log(found.probability / (1 - found.probability))[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(odds, found.labels).coef_[0, 0]
    assert calibration_slope(found).value == pytest.approx(theirs, rel=1e-4)


def test_the_intercept_makes_the_mean_right():
    found = draw(np.random.default_rng(0), intercept=0.7)
    odds = np.log(found.probability / (1 - found.probability))
    moved = 1 / (1 + np.exp(-odds - calibration_intercept(found).value))
    assert moved.mean() == pytest.approx(found.labels.mean())


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.0, 0.5), (0.8, 1.0)])
def test_the_truth_lies_inside_as_often_as_is_said(intercept, slope):
    random = np.random.default_rng(0)
    draws = [draw(random, 500, intercept, slope) for _ in range(300)]
    slopes = [calibration_slope(one) for one in draws]
    assert np.mean([one.low <= slope <= one.high for one in slopes]) > 0.91
    if slope == 1:
        intercepts = [calibration_intercept(one) for one in draws]
        assert np.mean([one.low <= intercept <= one.high for one in intercepts]) > 0.91


@pytest.mark.parametrize(
    ("labels", "probability"),
    [
        ([0] * 50 + [1] * 50, [0.1] * 50 + [0.9] * 50),
        ([0, 1] * 50, [0.3] * 100),
        ([0] * 91 + [1] * 9, list(np.linspace(0.1, 0.9, 100))),
        ([1] * 100, list(np.linspace(0.1, 0.9, 100))),
    ],
    ids=["told apart without a mistake", "all the same", "nine positives", "one class"],
)
def test_where_no_slope_can_be_told_there_is_none(labels, probability):
    found = calibration_slope(Predictions("holdout", np.array(labels), np.array(probability)))
    assert np.isnan(found.value)
    assert found.interval is None


def test_a_model_that_is_altogether_wrong_is_found_out():
    labels = np.array([0, 1] * 200)
    found = calibration_intercept(Predictions("holdout", labels, np.full(400, 0.9995)))
    assert found.value == pytest.approx(-np.log(0.9995 / 0.0005))
    assert found.high < -7


def test_probabilities_of_zero_and_one_are_taken():
    random = np.random.default_rng(0)
    probability = np.repeat([0.0, 0.5, 1.0], 200)
    labels = (random.random(600) < np.repeat([0.1, 0.5, 0.9], 200)).astype(int)
    found = calibration_slope(Predictions("holdout", labels, probability))
    assert 0 < found.low < found.high < 0.5
