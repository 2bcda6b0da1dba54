"""One row that breaks a rule, as plain JSON values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates.suites.engines.results import Outcome

if TYPE_CHECKING:
    import pandas as pd


def example_of(outcome: Outcome, frame: pd.DataFrame) -> dict[str, Any] | None:
    """Find one row that breaks the rule; a rule about a set names values, and no rows.

    Args:
        outcome: What Great Expectations found out about one expectation.
        frame: The table that was judged, with the index 0 … n - 1.
    """
    result, kwargs = outcome["result"], outcome["expectation_config"]["kwargs"]
    indices = result.get("partial_unexpected_index_list")
    column, values = kwargs.get("column"), result.get("partial_unexpected_list")
    if outcome["success"]:
        return None
    if not indices and column and values:
        indices = frame.index[frame[column].isin(values)][:1].tolist()
    return row_as_json(frame, indices[0]) if indices else None


def row_as_json(frame: pd.DataFrame, position: int) -> dict[str, Any]:
    """Return a row as JSON values, times as ISO texts."""
    row = frame.iloc[[position]].reset_index(drop=True)
    text = row.to_json(orient="records", date_format="iso", default_handler=str)
    values: dict[str, Any] = json.loads(text)[0]
    return values
