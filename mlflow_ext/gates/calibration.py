"""The gate ``calibration``: when the model says 30 %, does it happen in 30 % of the cases?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.evaluation.metrics import score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.intervals import interval
from mlflow_ext.evaluation.statistics.recalibration import calibration_intercept, calibration_slope
from mlflow_ext.gates.acceptance import Accepted, judge_estimate
from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT
from mlflow_ext.records import Check

FEW_IN_BINS = "too few rows for the bins that the error is an average over"
FEW = "a class has too few rows, or the probabilities tell the classes apart without a mistake"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CalibrationGate(Gate):
    """Probabilities have to mean what they say, as far as the confidence intervals reach.

    A limit that is null is not asked for; at least one is.
    """

    max_ece: Annotated[float, Field(gt=0, le=1)] | None = 0.05
    """Largest expected calibration error, in [0, 1]."""
    max_slope_error: Annotated[float, Field(gt=0)] | None = 0.25
    """How far the calibration slope may be from 1, as a ratio: 0.25 accepts 1/1.25 to 1.25."""
    max_intercept: Annotated[float, Field(gt=0)] | None = 0.25
    """How far the calibration intercept may be from 0, in log odds: 0.25 is about 6 points at a
    rate of one half, and 2 at a rate of one tenth."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of each two-sided interval."""

    def __post_init__(self) -> None:
        if self.max_ece is self.max_slope_error is self.max_intercept is None:
            raise ValueError("one limit at least: max_ece, max_slope_error or max_intercept")

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: one check per limit."""
        return judge_calibration(self, candidate.predictions)


def judge_calibration(gate: CalibrationGate, predictions: Predictions) -> Iterator[Check]:
    """Compare calibration error, slope and intercept with their limits.

    Args:
        gate: The limits.
        predictions: What the model said about the holdout.

    Yields:
        One check per limit; inconclusive where the interval crosses it, or where there is none.
    """
    if gate.max_ece is not None:
        accepted = Accepted(high=gate.max_ece)
        yield judge_estimate(
            "ece", _expected_error(predictions, gate.level), accepted, why=FEW_IN_BINS
        )
    if gate.max_slope_error is not None:
        accepted = Accepted(1 / (1 + gate.max_slope_error), 1 + gate.max_slope_error)
        slope = calibration_slope(predictions, gate.level)
        yield judge_estimate("calibration_slope", slope, accepted, why=FEW)
    if gate.max_intercept is not None:
        accepted = Accepted(-gate.max_intercept, gate.max_intercept)
        intercept = calibration_intercept(predictions, gate.level)
        yield judge_estimate("calibration_intercept", intercept, accepted, why=FEW)


def _expected_error(predictions: Predictions, level: float) -> Estimate:
    low, high = interval("ece", predictions, level) or (math.nan, math.nan)
    value = score_of("ece", predictions)
    return Estimate(value=value, low=low, high=high, rows=predictions.rows)
