"""Step 1: read the sources and store the months asked for as versioned tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlflow_ext.data.sources import read_source
from mlflow_ext.data.versions import log_table
from mlflow_ext.errors import SourceError
from mlflow_ext.lineage.steps import InputFile
from mlflow_ext.project import Source, Split
from mlflow_ext.records import TableVersion
from pipelines.flights import month_of, parse_hours, select_months


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """The raw tables, as they were read."""

    flights_raw: TableVersion
    weather_raw: TableVersion
    planes: TableVersion
    airports: TableVersion

    @property
    def tables(self) -> tuple[TableVersion, ...]:
        """All of them."""
        return (self.flights_raw, self.weather_raw, self.planes, self.airports)


def ingest(
    sources: Mapping[str, Source], source_files: Mapping[str, InputFile], split: Split, through: str
) -> Ingested:
    """Read every source and keep flights and weather of the months up to *through*.

    Raises:
        SourceError: A source is missing, truncated or has no rows for a month.
        WindowError: *through* is no month or leaves nothing to train on.
    """
    months = split.windows(through).all
    frames = {
        name: read_source(name, str(source_files[name].path), source.columns, Path())
        for name, source in sources.items()
    }
    flights = select_months(parse_hours(frames["flights"]), months)
    _check_every_month(flights, months)
    weather = select_months(parse_hours(frames["weather"]), months)
    return Ingested(
        flights_raw=log_table(flights, "flights_raw", context="source"),
        weather_raw=log_table(weather, "weather_raw", context="source"),
        planes=log_table(frames["planes"], "planes", context="source"),
        airports=log_table(frames["airports"], "airports", context="source"),
    )


def _check_every_month(flights: pd.DataFrame, months: tuple[str, ...]) -> None:
    present = set(month_of(flights["time_hour"]))
    missing = [month for month in months if month not in present]
    if missing:
        raise SourceError(
            "flights",
            f"no rows for {', '.join(missing)}",
            f"at least one flight in every month from {months[0]} to {months[-1]}",
            f"mlflow run . -P through={max(present, default=months[0])}",
        )
