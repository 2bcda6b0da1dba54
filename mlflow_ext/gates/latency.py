"""The gate ``latency``: does the loaded model answer fast enough on this machine?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from mlflow_ext.evaluation.statistics.quantiles import quantile_interval
from mlflow_ext.gates.acceptance import Accepted
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT
from mlflow_ext.records import Check

if TYPE_CHECKING:
    import pandas as pd

    from mlflow_ext.evaluation.predictions import Array
    from mlflow_ext.gates.candidate import Candidate

SHARE = 0.95
Milliseconds = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LatencyGate(Gate):
    """Nineteen of twenty calls must be answered in time, by one process, one call at a time."""

    max_single_ms: Milliseconds | None = None
    """The most that the 95th percentile of calls with one row may take."""
    max_batch_ms: Milliseconds | None = None
    """The most that the 95th percentile of calls with *batch_rows* rows may take."""
    batch_rows: Annotated[int, Field(ge=2)] = 1000
    repetitions: Annotated[int, Field(ge=72)] = 100
    """Calls of each kind that are timed; fewer than 72 bound no 95th percentile from above."""
    warmup: Annotated[int, Field(ge=0)] = 5
    """Calls before those that are timed."""
    max_seconds: Annotated[float, Field(gt=0)] = 60.0
    """After so many seconds no further call of a kind begins; few calls only show slowness."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the two-sided interval of the percentile."""

    @model_validator(mode="after")
    def _check_asked(self) -> LatencyGate:
        if self.max_single_ms is None and self.max_batch_ms is None:
            raise ValueError("max_single_ms or max_batch_ms")
        return self

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: one check for calls with one row, one for calls with many."""
        rows = candidate.select_inputs(candidate.holdout)
        asked = {1: self.max_single_ms, self.batch_rows: self.max_batch_ms}
        for size, ceiling in asked.items():
            if ceiling is not None:
                times = self._time(candidate.model.predict, rows, size)
                yield judge_times(times, size, ceiling, self.level)

    def _time(
        self, predict: Callable[[pd.DataFrame], object], rows: pd.DataFrame, size: int
    ) -> Array:
        """Time calls with *size* rows each; shape (calls,), in milliseconds."""
        times: list[float] = []
        end = time.perf_counter() + self.max_seconds
        for call in range(self.warmup + self.repetitions):
            positions = np.arange(call * size, (call + 1) * size) % len(rows)
            batch = rows.take(positions).reset_index(drop=True)
            start = time.perf_counter()
            predict(batch)
            stop = time.perf_counter()
            times.append((stop - start) * 1000)
            if stop > end:
                break
        return np.array(times[self.warmup :] or times[-1:])


def judge_times(milliseconds: Array, size: int, ceiling: float, level: float = 0.95) -> Check:
    """Compare the 95th percentile of the times of calls with a ceiling.

    Args:
        milliseconds: Shape (calls,), at least one.
        size: Rows in each call.
        ceiling: In milliseconds.
        level: Confidence of the two-sided interval.

    Returns:
        *passed* when the whole interval lies below the ceiling, *failed* when all of it lies above,
        else *inconclusive*; few calls leave the interval without an upper end.
    """
    value, low, high = quantile_interval(milliseconds, SHARE, level)
    accepted = Accepted(high=ceiling)
    return Check(
        name=f"p95_ms({size} {'row' if size == 1 else 'rows'})",
        verdict=accepted.judge((low, high)),
        expected=str(accepted),
        observed=value,
        interval=(low, high) if math.isfinite(low) and math.isfinite(high) else None,
        reason=f"{len(milliseconds)} calls, median {np.median(milliseconds):.3g} ms",
    )
