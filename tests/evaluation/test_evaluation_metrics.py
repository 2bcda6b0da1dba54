"""The metrics: textbook values, invariances, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_ext.errors import DirectionError, TableError, UnknownNameError
from mlflow_ext.evaluation.metrics import (
    BINS,
    METRICS,
    check_direction,
    direction,
    reaches,
    reliability,
    score,
    score_all,
)


@st.composite
def outcomes(draw):
    """Labels of both classes beside probabilities on a grid, so that ties are frequent."""
    tail = draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=60))
    labels = np.array([0, 1] + [label for label, _ in tail])
    grid = draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
    return labels, np.array([*grid] + [step for _, step in tail]) / 20


@given(outcomes(), st.sampled_from([0.2, 0.5, 0.9]))
@settings(max_examples=50)
def test_score_all_says_what_score_says_for_each_metric(case, threshold):
    labels, probability = case
    values = score_all(labels, probability, threshold)
    singly = [score(m, labels, probability, decision_threshold=threshold) for m in METRICS]
    np.testing.assert_equal(list(values.values()), singly)


@given(outcomes())
@settings(max_examples=50)
def test_ranking_metrics_do_not_change_under_a_monotone_transform(case):
    labels, probability = case
    for metric in ("roc_auc", "average_precision"):
        assert score(metric, labels, probability) == pytest.approx(
            score(metric, labels, 0.1 + probability**3 / 2)
        )


@given(outcomes())
@settings(max_examples=50)
def test_roc_auc_of_the_opposite_ranking_is_its_complement(case):
    labels, probability = case
    total = score("roc_auc", labels, probability) + score("roc_auc", labels, 1 - probability)
    assert total == pytest.approx(1)


@given(outcomes(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_no_metric_depends_on_the_order_of_rows(case, random):
    labels, probability = case
    order = np.array(random.sample(range(len(labels)), len(labels)))
    shuffled = score_all(labels[order], probability[order], 0.5)
    assert shuffled == pytest.approx(score_all(labels, probability, 0.5), nan_ok=True)


@given(outcomes())
@settings(max_examples=50)
def test_every_metric_but_log_loss_lies_between_zero_and_one(case):
    values = score_all(*case, 0.5)
    bounded = [v for name, v in values.items() if name != "log_loss" and not np.isnan(v)]
    assert all(0 <= value <= 1 + 1e-12 for value in bounded)
    assert values["log_loss"] >= 0


@given(outcomes())
@settings(max_examples=50)
def test_reliability_bins_hold_every_row_once_and_keep_both_means(case):
    labels, probability = case
    mean, positives, rows = reliability(labels, probability)
    assert rows.sum() == len(labels)
    assert len(rows) <= BINS
    assert np.average(mean, weights=rows) == pytest.approx(probability.mean())
    assert np.average(positives, weights=rows) == pytest.approx(labels.mean())


def test_reliability_bins_are_of_equal_mass_when_probabilities_differ():
    rows = reliability(np.arange(150) % 2, np.linspace(0.4, 0.6, 150))[2]
    assert list(rows) == [10] * BINS


def test_ece_of_a_constant_is_its_distance_from_the_positive_rate():
    labels = np.array([0] * 70 + [1] * 30)
    assert score("ece", labels, np.full(100, 0.2)) == pytest.approx(0.1)


def test_ece_is_zero_when_the_shares_are_as_predicted():
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    probability = np.array([0.25] * 4 + [0.75] * 4)
    assert score("ece", labels, probability) == pytest.approx(0)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", 0.75),
        ("precision", 1.0),
        ("recall", 0.5),
        ("f1", 2 / 3),
        ("roc_auc", 1.0),
        ("average_precision", 1.0),
        ("log_loss", -np.log([0.9, 0.8, 0.4, 0.7]).mean()),
        ("brier", (0.01 + 0.04 + 0.36 + 0.09) / 4),
    ],
)
def test_metrics_have_their_textbook_values(metric, expected):
    labels, probability = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.4, 0.7])
    assert score(metric, labels, probability) == pytest.approx(expected)


def test_the_decision_threshold_is_inclusive_and_moves_decisions_only():
    labels, probability = np.array([0, 1, 1]), np.array([0.1, 0.3, 0.9])
    assert score("recall", labels, probability, decision_threshold=0.3) == 1
    assert score("recall", labels, probability, decision_threshold=0.31) == 0.5
    low, high = (score_all(labels, probability, threshold) for threshold in (0.3, 0.31))
    assert {name for name in METRICS if low[name] != high[name]} == {"accuracy", "recall", "f1"}


def test_precision_is_undefined_when_nothing_is_predicted_positive():
    assert np.isnan(score("precision", np.array([0, 1]), np.array([0.1, 0.2])))


@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("metric", METRICS)
def test_one_class_is_an_error_only_where_the_metric_needs_two(metric, only):
    labels, probability = np.full(3, only), np.array([0.2, 0.4, 0.6])
    if METRICS[metric].needs_both_classes:
        with pytest.raises(TableError, match=f"all 3 labels are {only}.*\n.*both classes"):
            score(metric, labels, probability)
    else:
        assert np.isfinite(score(metric, labels, probability))


@pytest.mark.parametrize(
    ("labels", "probability", "found"),
    [
        ([0, 1], [0.1, np.nan], "probability nan in 1 of 2"),
        ([0, 1], [0.1, np.inf], "probability inf in 1 of 2"),
        ([0, 1], [-0.1, 1.1], "probability -0.1 in 2 of 2"),
        ([0, 2], [0.1, 0.2], "label 2 in 1 of 2"),
        ([0.0, np.nan], [0.1, 0.2], "label nan in 1 of 2"),
        ([0, 1, 1], [0.1, 0.2], "shape"),
        ([], [], "shape"),
        ([0, 1], [[0.9, 0.1], [0.2, 0.8]], "shape"),
    ],
)
def test_unusable_arrays_are_refused_with_what_was_found(labels, probability, found):
    with pytest.raises(TableError, match=found):
        score("brier", np.array(labels), np.array(probability))


def test_an_unknown_metric_names_the_nearest_one():
    with pytest.raises(UnknownNameError, match="write 'roc_auc' instead of 'roc_acu'"):
        score("roc_acu", np.array([0, 1]), np.array([0.1, 0.2]))


def test_losses_are_minimized_and_scores_maximized():
    losses = {name for name in METRICS if direction(name) == "minimize"}
    assert losses == {"log_loss", "brier", "ece"}


@given(outcomes())
@settings(max_examples=30)
def test_perfect_predictions_reach_whatever_others_reach_in_the_direction_of_the_metric(case):
    labels, probability = case
    best, value = score_all(labels, labels.astype(float), 0.5), score_all(labels, probability, 0.5)
    for name in METRICS:
        assert np.isnan(value[name]) or reaches(best[name], value[name], direction(name))


def test_a_contradicting_direction_is_refused():
    check_direction("brier", "minimize")
    with pytest.raises(DirectionError, match="write 'direction: minimize'"):
        check_direction("brier", "maximize")


@pytest.mark.parametrize(
    ("value", "bound", "towards", "expected"),
    [
        (0.7, 0.7, "maximize", True),
        (0.7, 0.7, "minimize", True),
        (0.69, 0.7, "maximize", False),
        (0.71, 0.7, "minimize", False),
        (0.1 + 0.2, 0.3, "minimize", True),
        (0.3 - 1e-6, 0.3, "maximize", False),
    ],
)
def test_reaching_includes_equality_and_forgives_rounding_only(value, bound, towards, expected):
    assert reaches(value, bound, towards) is expected
