"""A measured value beside how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its confidence interval, in one unit."""

    value: float
    """NaN where it is undefined."""
    low: float
    """NaN where there is no interval."""
    high: float
    rows: int
    """Rows that it was measured on."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Low and high; None where the rows cannot say."""
        is_known = all(map(math.isfinite, (self.value, self.low, self.high)))
        return (self.low, self.high) if is_known else None
