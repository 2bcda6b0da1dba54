"""The engine ``gx``: Great Expectations itself, on rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.gates.suites.document import check_columns
from mlflow_ext.gates.suites.engines.examples import example_of
from mlflow_ext.gates.suites.engines.interface import Document, TableSource, Validation

if TYPE_CHECKING:
    import pandas as pd


def validate(document: Document, source: TableSource) -> Validation:
    """Judge rows in memory, or a file that is read into memory.

    Raises:
        SuiteError: The suite names a column that is not there, an unknown expectation or a wrong
            argument. An expectation that raises while it runs is a failed one instead.
        SourceError: The file is missing, truncated or of another kind.
    """
    from mlflow_ext.gates.suites.great_expectations import judge_frame

    frame = _rows(source)
    check_columns(document["name"], document["expectations"], list(frame.columns))
    result = judge_frame(document, frame, source.name)
    return Validation(
        result=result,
        rows=len(frame),
        columns=tuple(map(str, frame.columns)),
        examples=tuple(example_of(outcome, frame) for outcome in result["results"]),
    )


def _rows(source: TableSource) -> pd.DataFrame:
    """Return the rows; Great Expectations names one that breaks a rule by its index label."""
    from mlflow_ext.gates.table import read_rows

    located = source.location
    frame = read_rows(located) if isinstance(located, Path) else located
    rows: pd.DataFrame = frame.reset_index(drop=True)  # type: ignore[union-attr]
    return rows
