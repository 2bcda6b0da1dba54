"""The slice table: what it holds, its order, and slices too small to judge."""

import numpy as np
import pandas as pd
import pytest

from mlflow_ext.errors import TableError, UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, score_all
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.slices import slice_table


def scored(rows):
    random = np.random.default_rng(0)
    return Predictions("holdout", np.arange(rows) % 2, random.random(rows), 0.3)


def frame():
    return pd.DataFrame(
        {
            "origin": ["LGA"] * 40 + ["EWR"] * 40 + ["JFK"] * 4,
            "carrier": ["UA", None] * 42,
            "month": ["2013-06"] * 84,
        }
    )


def test_a_slice_holds_the_metrics_of_its_rows():
    predictions = scored(84)
    table = slice_table(frame(), predictions, ["origin"], minimum_rows=10)
    row = table.set_index("value").loc["EWR"]
    part = predictions.take(np.arange(40, 80))
    assert row[list(METRICS)].to_dict() == score_all(part.labels, part.probability, 0.3)
    assert (row["rows"], row["positive_rate"]) == (40, 0.5)
    assert row["mean_probability"] == pytest.approx(part.probability.mean())


def test_slices_come_in_the_order_of_columns_then_values_whatever_the_order_of_rows():
    predictions = scored(84)
    table = slice_table(frame(), predictions, ["origin", "month"], minimum_rows=10)
    expected = [("origin", "EWR"), ("origin", "JFK"), ("origin", "LGA"), ("month", "2013-06")]
    assert list(zip(table["column"], table["value"], strict=True)) == expected
    backwards = np.arange(84)[::-1]
    again = slice_table(
        frame().iloc[backwards], predictions.take(backwards), ["origin", "month"], minimum_rows=10
    )
    pd.testing.assert_frame_equal(table, again)


def test_a_slice_with_too_few_rows_or_one_class_is_listed_without_metrics():
    table = slice_table(frame(), scored(84), ["origin", "carrier"], minimum_rows=10)
    unsupported = table[~table["is_supported"]]
    assert list(unsupported["value"]) == ["JFK", "(missing)", "UA"]
    assert unsupported[list(METRICS)].isna().all(axis=None)
    assert list(unsupported["rows"]) == [4, 42, 42]


def test_the_slices_of_a_column_hold_every_row_missing_values_too():
    table = slice_table(frame(), scored(84), ["origin", "carrier", "month"])
    assert table.groupby("column")["rows"].sum().to_dict() == {
        "carrier": 84,
        "month": 84,
        "origin": 84,
    }


def test_an_unknown_column_names_the_nearest_one():
    with pytest.raises(UnknownNameError, match="write 'carrier' instead of 'carier'"):
        slice_table(frame(), scored(84), ["carier"])


def test_a_frame_of_other_rows_is_refused():
    with pytest.raises(TableError, match="84 rows, but 80 predictions"):
        slice_table(frame(), scored(80), ["origin"])
