"""How many rows a question needs."""

from __future__ import annotations

import math


def rows_to_settle(rows: int, value: float, bound: float, threshold: float) -> int | None:
    """Estimate how many further rows would bring *bound* to the threshold's other side.

    The distance between value and bound shrinks with the square root of the rows; the value is
    taken to stay where it is. Whether the threshold is then shown to be reached, or to be missed,
    depends on the side the value is on.

    Args:
        rows: Rows seen, at least 1.
        value: What was observed.
        bound: The end of its interval towards the threshold.
        threshold: In the unit of *value*.

    Returns:
        Further rows, 0 when it is settled; None when it never would be: the value *is* the
        threshold, or there is no bound.

    Source: Cochran (1977), Sampling Techniques, section 4.4, solved for the number of rows.

    >>> rows_to_settle(100, 0.75, 0.65, 0.7)
    301
    """
    gap, reach = abs(value - threshold), abs(value - bound)
    if gap == 0 or not math.isfinite(reach):
        return None
    # Rounded first, so that what floats lose is no further row; a tie does not settle anything.
    return max(0, math.floor(round(rows * (reach / gap) ** 2, 6)) + 1 - rows)


def rows_for_interval(
    rows: int, value: float, interval: tuple[float, float] | None, threshold: float
) -> int | None:
    """Estimate how many further rows would take *threshold* out of the interval of a value.

    Args:
        rows: Rows seen, at least 1.
        value: What was observed.
        interval: Its low and high; None: not known.
        threshold: In the unit of *value*.

    Returns:
        As `rows_to_settle`.

    >>> rows_for_interval(100, 0.75, (0.65, 0.85), 0.7)
    301
    """
    if interval is None:
        return None
    low, high = interval
    return rows_to_settle(rows, value, low if threshold < value else high, threshold)
