"""Many groups at once: each as if it stood alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_side_by_side import models
from scipy import stats

from mlflow_ext.errors import TableError, UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, has_classes_for, score_of
from mlflow_ext.evaluation.statistics.confusion import PROPORTIONS
from mlflow_ext.evaluation.statistics.groups import group_by, measure_groups
from mlflow_ext.evaluation.statistics.intervals import interval
from mlflow_ext.evaluation.statistics.losses import LOSSES

VALUES = st.sampled_from(["a", "b", None, "zz", "B"])


@pytest.fixture(scope="module")
def scored():
    (one,) = models(600, 0.2)
    random = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "origin": random.choice(["EWR", "JFK", "LGA", None], 600, p=[0.5, 0.3, 0.19, 0.01]),
            "hour": random.integers(0, 3, 600),
        }
    )
    return frame, one


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=50))
@settings(max_examples=60)
def test_groups_are_those_of_pandas(rows):
    frame = pd.DataFrame(rows, columns=["x", "y"])
    groups = group_by(frame, ["x", "y"])
    expected = frame.fillna("(missing)").groupby(["x", "y"]).size()
    assert dict(zip(groups.keys, groups.counts.tolist(), strict=True)) == expected.to_dict()
    assert list(groups.keys) == sorted(groups.keys)
    for row, code in zip(rows, groups.codes.tolist(), strict=True):
        assert groups.keys[code] == tuple("(missing)" if v is None else v for v in row)


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (pd.Series([2.5, np.nan, 2.5]), [("(missing)",), ("2.5",)]),
        (pd.Series([True, False, True]), [("False",), ("True",)]),
        (pd.Series(["b", "a", "b"], dtype="category"), [("a",), ("b",)]),
        (pd.Series([1, "1", None], dtype=object), [("(missing)",), ("1",)]),
        (pd.Series(["2024-01-01", None, None], dtype="datetime64[us]"), None),
    ],
)
def test_values_of_every_type_are_groups(column, keys):
    groups = group_by(column.to_frame("x"), ["x"])
    assert groups.counts.sum() == 3
    assert len(groups.keys) == 2
    assert keys is None or list(groups.keys) == keys


def test_many_rare_combinations_are_groups_too():
    frame = pd.DataFrame({"x": range(3_000), "y": range(3_000)})
    groups = group_by(frame, ["x", "y"])
    assert (groups.counts == 1).all()
    assert groups.keys[0] == ("0", "0")
    assert len(groups.keys) == 3_000


@pytest.mark.parametrize("metric", [*METRICS, "selection_rate", "false_positive_rate"])
def test_every_metric_of_a_group_is_that_of_its_rows_alone(metric, scored):
    frame, one = scored
    groups = group_by(frame, ["origin", "hour"])
    table = measure_groups(metric, one, groups)
    assert list(table.columns) == ["key", "rows", "value", "low", "high"]
    assert list(table["key"]) == list(groups.keys)
    for code, row in enumerate(table.itertuples()):
        part = one.take(groups.codes == code)
        assert row.rows == part.rows
        if metric in METRICS and has_classes_for(metric, part):
            np.testing.assert_allclose(row.value, score_of(metric, part))
        elif metric == "roc_auc":
            assert np.isnan(row.value)
        alone = interval(metric, part) or (np.nan, np.nan)
        if metric not in LOSSES and np.isfinite(row.value):
            np.testing.assert_allclose((row.low, row.high), alone)


@pytest.mark.parametrize("metric", LOSSES)
def test_the_interval_of_a_mean_loss_is_that_of_student(metric, scored):
    frame, one = scored
    groups = group_by(frame, ["hour"])
    table = measure_groups(metric, one, groups, level=0.9)
    for code, row in enumerate(table.itertuples()):
        losses = LOSSES[metric](one.take(groups.codes == code))
        expected = stats.t.interval(0.9, len(losses) - 1, losses.mean(), stats.sem(losses))
        assert (row.low, row.high) == pytest.approx(expected)


def test_a_slice_of_three_rows_is_never_sure(scored):
    _, one = scored
    frame = pd.DataFrame({"x": ["rare"] * 3 + ["many"] * 597})
    for metric in [*METRICS, *PROPORTIONS]:
        rare = measure_groups(metric, one, group_by(frame, ["x"])).iloc[1]
        assert rare["rows"] == 3
        width = rare["high"] - rare["low"]
        assert np.isnan(width) or width > 0.5


def test_more_groups_than_sixteen_bits_can_number_keep_their_areas():
    (one,) = models(140_000, 0.1)
    frame = pd.DataFrame({"x": np.arange(140_000) % 70_000})
    groups = group_by(frame, ["x"])
    table = measure_groups("roc_auc", one, groups)
    both = [0, 35_000, 69_999]
    for code in both:
        part = one.take(groups.codes == code)
        value = score_of("roc_auc", part) if part.has_both_classes else np.nan
        np.testing.assert_allclose(table["value"][code], value)


def test_what_cannot_be_grouped_is_refused(scored):
    frame, one = scored
    with pytest.raises(UnknownNameError, match="write 'origin'"):
        group_by(frame, ["orgin"])
    groups = group_by(frame, ["origin"])
    with pytest.raises(TableError, match="600 rows, but 10 predictions"):
        measure_groups("accuracy", one.take(np.arange(10)), groups)
    with pytest.raises(UnknownNameError, match="accuracy"):
        measure_groups("acuracy", one, groups)
