"""What every engine takes and returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

Document = dict[str, Any]
"""A suite as Great Expectations serialises it: `mlflow_ext.gates.suites.document.read_suite`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TableSource:
    """Where a table is."""

    name: str
    """The table's name, as it appears in reports."""
    location: pd.DataFrame | Path | str
    """Rows in memory; a Parquet or CSV file; or ``DIALECT://…/DATABASE#[SCHEMA.]TABLE``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Validation:
    """What an engine found, in the form of Great Expectations whatever ran it."""

    result: dict[str, Any]
    """A validation result as GX's ``to_json_dict`` writes it, plain JSON values (NaN is null)."""
    rows: int
    """Rows of the table."""
    columns: tuple[str, ...]
    examples: tuple[dict[str, Any] | None, ...]
    """For each of ``result["results"]`` one row that breaks the rule, where it is about rows."""


class Engine(Protocol):
    """Runs suites."""

    def validate(self, document: Document, source: TableSource) -> Validation:
        """Judge a table by a suite.

        Raises:
            SuiteError: The suite does not fit the table, or an expectation cannot be evaluated.
            SourceError: The table cannot be read.
        """
