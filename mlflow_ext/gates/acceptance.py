"""What a confidence interval says about the values that are accepted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.power import rows_to_settle
from mlflow_ext.records import Check, Verdict


@dataclass(frozen=True)
class Accepted:
    """The values that are good enough; both ends are."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        """Say it in words.

        >>> str(Accepted(0.8, 1.25)), str(Accepted(high=0.1)), str(Accepted(low=0.8))
        ('in [0.8, 1.25]', '<= 0.1', '>= 0.8')
        """
        if math.isinf(self.low):
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if math.isinf(self.high) else f"in [{self.low:g}, {self.high:g}]"

    def judge(self, interval: tuple[float, float] | None) -> Verdict:
        """Judge by a whole interval.

        >>> Accepted(high=0.1).judge((0.02, 0.11))
        <Verdict.INCONCLUSIVE: 'inconclusive'>
        """
        if interval is None:
            return Verdict.INCONCLUSIVE
        low, high = interval
        if self.low <= low and high <= self.high:
            return Verdict.PASSED
        is_outside = high < self.low or low > self.high
        return Verdict.FAILED if is_outside else Verdict.INCONCLUSIVE

    def rows_needed(self, estimate: Estimate) -> int | None:
        """Estimate how many further rows would settle it, if the value stays where it is.

        Returns:
            The rows; None where it is settled, or no number of rows would settle it.
        """
        if self.judge(estimate.interval) is not Verdict.INCONCLUSIVE or not estimate.interval:
            return None
        is_inside = self.low <= estimate.value <= self.high
        edges = [end for end in (self.low, self.high) if estimate.low < end < estimate.high]
        if not is_inside:
            edges = [min(edges, key=lambda end: abs(end - estimate.value))]
        needed = [_rows_to_clear(estimate, end) for end in edges]
        known = [rows for rows in needed if rows is not None]
        return max(known) if len(known) == len(needed) else None


def judge_estimate(
    name: str, estimate: Estimate, accepted: Accepted, *, part: str | None = None, why: str = ""
) -> Check:
    """Compare an interval with the accepted values.

    Args:
        name: What was measured.
        estimate: Value and interval.
        accepted: Where good values lie.
        part: The slice that it is about.
        why: Why there is no interval, in case there is none.

    Returns:
        *passed* when the whole interval is accepted, *failed* when none of it is, else
        *inconclusive*.
    """
    verdict = accepted.judge(estimate.interval)
    few = "the rows are too few to tell" if verdict is Verdict.INCONCLUSIVE else ""
    return Check(
        name=name,
        verdict=verdict,
        expected=str(accepted),
        observed=estimate.value if math.isfinite(estimate.value) else None,
        interval=estimate.interval,
        rows=estimate.rows,
        rows_needed=accepted.rows_needed(estimate),
        slice=part,
        reason=few if estimate.interval else why or few,
    )


def _rows_to_clear(estimate: Estimate, end: float) -> int | None:
    bound = estimate.low if end < estimate.value else estimate.high
    return rows_to_settle(estimate.rows, estimate.value, bound, end)
