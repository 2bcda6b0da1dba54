"""Counts of labels against decisions, and losses row by row, beside scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from models_side_by_side import models, predictions
from sklearn.metrics import confusion_matrix

from mlflow_ext.evaluation.metrics import METRICS, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.confusion import PROPORTIONS, RATIOS, count_confusion, ratio
from mlflow_ext.evaluation.statistics.losses import LOSSES


@given(predictions())
@settings(max_examples=60)
def test_the_counts_are_those_of_scikit_learn(case):
    (one,) = case
    counts = count_confusion(one)
    found = [
        counts.true_negatives,
        counts.false_positives,
        counts.false_negatives,
        counts.true_positives,
    ]
    expected = confusion_matrix(one.labels, one.decisions, labels=[0, 1]).ravel()
    assert np.ravel(found).tolist() == expected.tolist()
    assert counts.rows.tolist() == [one.rows]


@given(predictions())
@settings(max_examples=60)
def test_ratios_and_mean_losses_are_the_metrics_of_that_name(case):
    (one,) = case
    for metric in RATIOS.keys() & METRICS.keys():
        value = ratio(metric, count_confusion(one))[0]
        np.testing.assert_allclose(value, score_of(metric, one))
    for metric, losses in LOSSES.items():
        assert losses(one).mean() == pytest.approx(score_of(metric, one))


def test_rates_that_are_no_metrics_have_their_textbook_values():
    one = Predictions("t", np.array([0, 0, 0, 1, 1]), np.array([0.9, 0.1, 0.1, 0.9, 0.1]))
    counts = count_confusion(one)
    assert ratio("selection_rate", counts)[0] == pytest.approx(2 / 5)
    assert ratio("false_positive_rate", counts)[0] == pytest.approx(1 / 3)


def test_groups_are_counted_as_if_each_stood_alone():
    (one,) = models(500, 0.1)
    codes = np.arange(500) % 7
    together = count_confusion(one, codes, 7)
    for group in range(7):
        alone = count_confusion(one.take(codes == group))
        for metric in PROPORTIONS:
            assert ratio(metric, together)[group] == ratio(metric, alone)[0]


def test_a_ratio_of_nothing_is_undefined():
    shy = Predictions("t", np.array([0, 1]), np.array([0.1, 0.2]))
    assert np.isnan(ratio("precision", count_confusion(shy))[0])
