"""Predictions: arrays by position, never by index."""

import numpy as np
import pandas as pd
import pytest

from mlflow_ext.errors import TableError
from mlflow_ext.evaluation.predictions import Predictions


def test_columns_of_a_frame_are_taken_by_position_whatever_their_index():
    labels = pd.Series([0, 1, 1], index=[7, 8, 9])
    one = Predictions("holdout", labels, pd.Series([0.1, 0.6, 0.4], index=[9, 8, 7]))
    assert list(one.decisions) == [0, 1, 0]
    assert (one.rows, one.positive_rate, one.has_both_classes) == (3, pytest.approx(2 / 3), True)


def test_taking_rows_keeps_split_and_threshold():
    one = Predictions("holdout", np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3]), 0.25)
    part = one.take(np.array([False, True, True]))
    assert (part.split, part.rows, list(part.decisions)) == ("holdout", 2, [0, 1])
    assert not part.has_both_classes


def test_taking_no_rows_is_an_error():
    one = Predictions("holdout", np.array([0, 1]), np.array([0.1, 0.2]))
    with pytest.raises(TableError, match="at least one row"):
        one.take(np.array([False, False]))
