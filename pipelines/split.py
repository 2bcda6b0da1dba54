"""The training table cut in time: what trains, what chooses, what judges."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mlflow_ext.data.versions import log_use, read_table
from mlflow_ext.project import Features, Split, Target
from mlflow_ext.records import TableVersion


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one part: all columns, the features alone, and the label."""

    frame: pd.DataFrame
    """Shape (n, all columns)."""
    X: pd.DataFrame
    """Shape (n, features)."""
    y: pd.Series[int]
    """Shape (n,), 1 for the positive class, else 0."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The three parts of the training table, in the order of time."""

    train: Part
    validation: Part
    holdout: Part


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is learned from the training table, and how it is cut."""

    columns: Features
    target: Target
    split: Split
    through: str
    """Last month of data, ``YYYY-MM``."""
    decision_threshold: float


def cut(table: TableVersion, problem: Problem) -> Parts:
    """Read *table*, cut it by month, and log it as what the active run has learned from."""
    frame = read_table(table)
    log_use(frame, table, context="training")
    windows = problem.split.windows(problem.through)
    return Parts(
        train=_part(frame, windows.train, problem),
        validation=_part(frame, windows.validation, problem),
        holdout=_part(frame, windows.holdout, problem),
    )


def _part(frame: pd.DataFrame, months: tuple[str, ...], problem: Problem) -> Part:
    rows = frame[frame["month"].isin(months)].reset_index(drop=True)
    label = (rows[problem.target.column] == problem.target.positive).astype("int64")
    return Part(frame=rows, X=rows[list(problem.columns.names)], y=label)
