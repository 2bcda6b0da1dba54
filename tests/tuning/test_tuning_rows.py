"""Rows kept from the search: the latest, whole moments of them, and every row on one side."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_study import make_tables

from mlflow_ext.errors import TableError
from mlflow_ext.tuning.rows import keep_back


def tables_of(rows):
    x = pd.DataFrame({"a": np.arange(rows)})
    y = pd.Series(np.arange(rows) % 2)
    return replace(make_tables(), validation_x=x, validation_y=y)


@given(
    hours=st.lists(st.integers(0, 20), min_size=2, max_size=60),
    share=st.floats(0.05, 0.95),
)
def test_the_latest_moments_are_kept_back_and_no_row_is_lost_or_doubled(hours, share):
    moments = pd.Series(hours)
    tables = tables_of(len(hours))
    try:
        early, late = keep_back(tables, moments, share)
    except TableError:
        first = (moments == moments.min()).mean()
        assert first > 1 - share - 1e-9
        return
    seen, kept = early.validation_x["a"], late.validation_x["a"]
    assert sorted([*seen, *kept]) == list(range(len(hours)))
    assert moments[seen].max() < moments[kept].min()
    without_first = moments[kept] > moments[kept].min()
    assert len(kept) >= share * len(hours) - 1e-6
    assert without_first.sum() < share * len(hours) + 1e-6, "not a moment more than is asked for"
    for part in (early, late):
        assert part.validation_y.tolist() == (part.validation_x["a"] % 2).tolist()
        assert part.train_x is tables.train_x


def test_a_row_without_a_time_is_neither_early_nor_late():
    moments = pd.Series([*pd.date_range("2013-05-01", periods=5), pd.NaT])
    with pytest.raises(TableError, match="1 of 6 rows without a time"):
        keep_back(tables_of(6), moments, 0.5)


def test_rows_of_one_moment_cannot_be_parted():
    moments = pd.Series([pd.Timestamp("2013-05-01")] * 6)
    with pytest.raises(TableError, match="rows of 1 moments") as caught:
        keep_back(tables_of(6), moments, 0.5)
    assert "search.rescore.share" in caught.value.fix
