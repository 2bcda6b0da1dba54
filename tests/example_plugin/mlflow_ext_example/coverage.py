"""The gate ``coverage``: is every value of a column there in the rows that judge a version?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT
from mlflow_ext.records import Check, Verdict


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CoverageGate(Gate):
    """A verdict about all carriers needs rows of all carriers."""

    column: Annotated[str, Field(min_length=1)]
    values: Annotated[tuple[str, ...], Field(min_length=1)]
    """The values that have to occur."""
    minimum_rows: Annotated[int, Field(ge=1)] = 30
    """Rows of each."""

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: one check per value; too few rows are no verdict."""
        counts = candidate.holdout[self.column].value_counts()
        for value in self.values:
            found = int(counts.get(value, 0))
            lacking = max(self.minimum_rows - found, 0)
            yield Check(
                name="rows",
                slice=f"{self.column}={value}",
                verdict=Verdict.INCONCLUSIVE if lacking else Verdict.PASSED,
                expected=f">= {self.minimum_rows}",
                observed=found,
                rows=len(candidate.holdout),
                rows_needed=lacking or None,
                reason=f"{lacking} rows are missing" if lacking else "",
            )
