"""Step 3: join the sources into the one table that trains and judges the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mlflow
import pandas as pd

from mlflow_ext.data.features import check_training_table
from mlflow_ext.data.versions import log_table, read_table
from mlflow_ext.lineage.steps import InputFile
from mlflow_ext.project import Features, Target
from mlflow_ext.records import GateReport, TableVersion
from pipelines.flights import build_features
from pipelines.ingest import Ingested
from pipelines.validate import Validated, judge_table, refusals_of, warnings_of


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The training table, what it left out, and what its suite says."""

    table: TableVersion
    reports: tuple[GateReport, ...]
    """Of this table and of the raw ones it was made from."""
    unlabelled: int
    """Flights without a label (cancelled or diverted), left out."""

    @property
    def refusals(self) -> tuple[str, ...]:
        """One line per failed expectation; empty when training may go on."""
        return refusals_of(self.reports)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and one line per warning of the table's own suite."""
        left_out = f"{self.unlabelled} flights without a label (cancelled or diverted) left out"
        return (left_out, *warnings_of(self.reports[-1:]))


def features(
    suites: Mapping[str, InputFile],
    columns: Features,
    target: Target,
    ingest: Ingested,
    validate: Validated,
) -> Prepared:
    """Build, check, store and judge the training table.

    Raises:
        TableError: The table is empty, a feature is all null, or the target has one class.
    """
    flights = read_table(ingest.flights_raw)
    frame = build_features(
        flights,
        read_table(ingest.weather_raw),
        read_table(ingest.planes),
        read_table(ingest.airports),
    )
    check_training_table(frame, columns.names, target.column)
    unlabelled = len(flights) - len(frame)
    _log_counts(frame, target, unlabelled)
    table = log_table(frame, "features", context="training")
    report = judge_table(suites["features"], table)
    return Prepared(table=table, reports=(*validate.reports, report), unlabelled=unlabelled)


def _log_counts(frame: pd.DataFrame, target: Target, unlabelled: int) -> None:
    positives = (frame[target.column] == target.positive).mean()
    mlflow.log_metrics(
        {
            "rows.labelled": len(frame),
            "rows.unlabelled": unlabelled,
            "positive_share": float(positives),
        }
    )
