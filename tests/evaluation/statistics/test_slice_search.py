"""The search for bad slices: what luck alone does, and what it must not miss."""

import numpy as np
import pandas as pd
import pytest
from judged_candidates import predict

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, direction, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.binning import cut
from mlflow_ext.evaluation.statistics.groups import group_by, measure_groups
from mlflow_ext.evaluation.statistics.multiplicity import simultaneous_level
from mlflow_ext.evaluation.statistics.slice_search import SEARCHABLE, search_slices


def draw(random, rights, rows):
    """Slices 0, 1, … of as many rows, right with these probabilities."""
    slices = np.repeat(np.arange(len(rights)), rows)
    right = random.random(len(slices)) < np.asarray(rights)[slices]
    predictions = predict(random.integers(0, 2, len(slices)), right)
    return predictions, group_by(pd.DataFrame({"slice": slices}), ["slice"])


def search(drawn, bounds, minimum_rows=50):
    predictions, groups = drawn
    return search_slices(predictions, [groups], bounds, minimum_rows)


@pytest.mark.parametrize(("right", "rows", "slices"), [(0.9, 100, 50), (0.98, 100, 30)])
def test_slices_that_are_just_good_enough_do_not_fail_by_luck(right, rows, slices):
    random, naive, found = np.random.default_rng(0), [], []
    for _ in range(100):
        drawn = draw(random, [right] * slices, rows)
        table = search(drawn, {"accuracy": right})
        found.append((table.verdict == "failed").any())
        naive.append((table.high < right).any())
    assert np.mean(found) <= 0.05
    assert np.mean(naive) > 0.5


def test_a_slice_that_is_just_too_bad_passes_no_more_often_than_is_said():
    random = np.random.default_rng(0)
    found = [search(draw(random, [0.79, 0.95], 300), {"accuracy": 0.8}) for _ in range(300)]
    assert np.mean([table.verdict[0] == "passed" for table in found]) <= 0.025


def test_a_bad_slice_among_many_is_found():
    drawn = draw(np.random.default_rng(0), [0.9] * 49 + [0.6], 200)
    table = search(drawn, {"accuracy": 0.8})
    assert table.slice[table.verdict == "failed"].tolist() == ["slice=49"]
    assert table.adjusted_p.min() < 1e-6


@pytest.mark.parametrize("metric", SEARCHABLE)
def test_every_searchable_metric_tells_good_from_bad(metric):
    random = np.random.default_rng(0)
    slices, labels = np.repeat([0, 1], 2000), random.integers(0, 2, 4000)
    # In slice 1 the model says the opposite of what it knows.
    told = np.clip(0.5 + 0.3 * (2 * labels - 1) + random.normal(scale=0.2, size=4000), 0.01, 0.99)
    predictions = Predictions("holdout", labels, np.where(slices == 1, 1 - told, told))
    groups = group_by(pd.DataFrame({"slice": slices}), ["slice"])
    bound = score_of(metric, predictions)
    table = search_slices(predictions, [groups], {metric: bound}, 50)
    assert table.verdict.tolist() == ["passed", "failed"]
    assert table.p_value[0] > 0.9
    assert (table.margin > 0).tolist() == [True, False]


@pytest.mark.parametrize("metric", ["brier", "roc_auc"])
def test_the_first_step_of_holm_is_the_interval_that_holds_for_all(metric):
    random = np.random.default_rng(0)
    slices, labels = np.repeat(np.arange(5), 200), random.integers(0, 2, 1000)
    told = np.clip(0.5 + 0.2 * (2 * labels - 1) + random.normal(scale=0.3, size=1000), 0.01, 0.99)
    predictions = Predictions("holdout", labels, told)
    groups = group_by(pd.DataFrame({"slice": slices}), ["slice"])
    wide = measure_groups(metric, predictions, groups, simultaneous_level(0.95, 5))
    worst = wide.high.min() if direction(metric) == "maximize" else wide.low.max()
    for step, is_failed in ((1e-6, True), (-1e-6, False)):
        bound = worst + (step if direction(metric) == "maximize" else -step)
        table = search_slices(predictions, [groups], {metric: bound}, 50)
        assert (table.verdict == "failed").any() == is_failed


def test_a_slice_in_which_all_is_right_passes():
    drawn = draw(np.random.default_rng(0), [1.0, 0.95], 1000)
    table = search(drawn, {"roc_auc": 0.8, "accuracy": 0.8, "f1": 0.8})
    assert set(table.verdict) == {"passed"}


def test_without_a_slice_that_is_large_enough_nothing_is_looked_at():
    table = search(draw(np.random.default_rng(0), [0.9, 0.9], 30), {"accuracy": 0.5})
    assert set(table.verdict) == {"inconclusive"}
    assert table.adjusted_p.isna().all()


def test_a_slice_of_one_class_is_inconclusive_where_both_are_needed():
    labels = np.array([0, 1] * 100 + [1] * 200)
    predictions = Predictions("holdout", labels, np.where(labels == 1, 0.8, 0.2))
    groups = group_by(pd.DataFrame({"slice": np.repeat(["a", "b"], 200)}), ["slice"])
    table = search_slices(predictions, [groups], {"roc_auc": 0.5}, 50)
    assert table.verdict.tolist() == ["passed", "inconclusive"]


def test_an_unknown_metric_is_an_error():
    assert set(SEARCHABLE) < set(METRICS)
    with pytest.raises(UnknownNameError, match="unknown metric of slices 'average_precision'"):
        search(draw(np.random.default_rng(0), [0.9], 50), {"average_precision": 0.5})


def test_numbers_are_cut_into_parts_of_equal_size_and_the_rest_is_left():
    frame = pd.DataFrame(
        {
            "number": [*map(float, range(99)), None],
            "few": [1, 2] * 50,
            "yes": [True, False] * 50,
            "time": pd.date_range("2013-01-01", periods=100),
            "text": [f"t{i}" for i in range(100)],
            "other": range(100),
        }
    )
    found = cut(frame, ["number", "few", "yes", "time", "text", "missing"], 4)
    assert sorted(group_by(found, ["number"]).counts) == [1, 24, 25, 25, 25]
    assert group_by(found, ["time"]).counts.tolist() == [25] * 4
    pd.testing.assert_frame_equal(
        found[["few", "yes", "text", "other"]], frame[["few", "yes", "text", "other"]]
    )
    assert frame.number.dtype == float
