"""ROC AUC by placements: beside counting every pair, and beside scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from models_side_by_side import models, predictions

from mlflow_ext.evaluation.metrics import score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.areas import measure_areas, placements


def wins(one):
    """Each positive against each negative: 1 won, 0.5 tied, 0 lost."""
    positives, negatives = (one.probability[one.labels == k] for k in (1, 0))
    return (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)


@given(predictions())
@settings(max_examples=80)
def test_placements_are_the_shares_of_won_pairs(case):
    (one,) = case
    found, pairs = placements(one), wins(one)
    np.testing.assert_allclose(found[one.labels == 1], pairs.mean(axis=1))
    np.testing.assert_allclose(found[one.labels == 0], pairs.mean(axis=0))


@given(predictions(fewest=6))
@settings(max_examples=80)
def test_area_and_variance_are_those_of_delong_by_brute_force(case):
    (one,) = case
    pairs, areas = wins(one), measure_areas(placements(one), one.labels)
    assert areas.value[0] == pytest.approx(score_of("roc_auc", one))
    if min(pairs.shape) > 1:
        variance = sum(pairs.mean(axis=k).var(ddof=1) / pairs.shape[1 - k] for k in (0, 1))
        assert areas.variance[0] == pytest.approx(variance)


@given(predictions(fewest=6, number=2))
@settings(max_examples=60)
def test_the_difference_of_two_areas_has_the_variance_with_covariance(case):
    first, second = case
    areas = measure_areas(placements(first) - placements(second), first.labels)
    expected = score_of("roc_auc", first) - score_of("roc_auc", second)
    assert areas.value[0] == pytest.approx(expected)
    ours, theirs = wins(first), wins(second)
    if min(ours.shape) > 1:
        variance = 0.0
        for k in (0, 1):
            covariance = np.cov(ours.mean(axis=k), theirs.mean(axis=k))
            variance += (np.trace(covariance) - 2 * covariance[0, 1]) / ours.shape[1 - k]
        assert areas.variance[0] == pytest.approx(variance)


@pytest.mark.parametrize("size", [3, 70_000])
def test_groups_are_measured_as_if_each_stood_alone(size):
    (one,) = models(400, 0.2)
    one = Predictions("t", one.labels, one.probability.round(1))
    codes = np.arange(400) % 3
    areas = measure_areas(placements(one, codes, size), one.labels, codes, size)
    for group in range(3):
        part = one.take(codes == group)
        alone = measure_areas(placements(part), part.labels)
        assert areas.value[group] == pytest.approx(alone.value[0])
        assert areas.variance[group] == pytest.approx(alone.variance[0])


def test_a_group_of_one_class_has_no_area_and_leaves_the_others_alone():
    labels, probability = np.array([1, 1, 0, 1]), np.array([0.2, 0.9, 0.4, 0.6])
    codes = np.array([0, 0, 1, 1])
    one = Predictions("t", labels, probability)
    areas = measure_areas(placements(one, codes, 2), labels, codes, 2)
    assert np.isnan(areas.value[0])
    assert areas.value[1] == 1


def test_the_variance_is_that_of_the_area_over_many_samples():
    found = [
        measure_areas(placements(one), one.labels)
        for seed in range(300)
        for one in models(200, 0.1, seed=seed)
    ]
    spread = np.var([areas.value[0] for areas in found])
    assert np.mean([areas.variance[0] for areas in found]) == pytest.approx(spread, rel=0.25)
