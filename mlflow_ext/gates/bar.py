"""One check as a small picture: what was measured, how sure that is, and what was asked for."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mlflow_ext.records import Check, Json, measure

NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
AT_LEAST, AT_MOST = re.compile(rf">=? *{NUMBER}"), re.compile(rf"<=? *{NUMBER}")
WITHIN = re.compile(rf"\[{NUMBER}, {NUMBER}\]")
WIDTH, HEIGHT, MARGIN = 180, 26, 8
MIDDLE = HEIGHT / 2
ROUND = f'cy="{MIDDLE}" r="4"'


def read_bounds(expected: str) -> tuple[float, float]:
    """Read from the words of a check where the good values lie.

    >>> read_bounds("difference >= -0.005"), read_bounds("in [0.8, 1.25]"), read_bounds("a table")
    ((-0.005, inf), (0.8, 1.25), (-inf, inf))
    """
    if found := WITHIN.search(expected):
        return float(found[1]), float(found[2])
    low, high = AT_LEAST.search(expected), AT_MOST.search(expected)
    return (float(low[1]) if low else -math.inf), (float(high[1]) if high else math.inf)


def draw_bars(checks: Sequence[Check]) -> Iterator[str]:
    """Draw each check as inline SVG: a dot for what was observed, a line for its interval, a tick
    at each threshold, and a ground of another shade where the good values lie.

    Checks of one name with one threshold share their axis, so that they can be compared.

    Yields:
        The element, with everything that it shows in words for those who cannot see it; empty where
        there is nothing to compare a number with.
    """
    alike: dict[tuple[str, str], list[float]] = defaultdict(list)
    for check in checks:
        alike[check.name, check.expected] += _values(check)
    for check in checks:
        is_measured = check.interval is not None or measured(check.observed) is not None
        is_shown = is_measured and len(_values(check)) > 1
        yield _draw(check, _Axis.over(alike[check.name, check.expected])) if is_shown else ""


def measured(observed: Json) -> float | None:
    """Return what a check has observed if that is a finite number, else None."""
    if isinstance(observed, bool) or not isinstance(observed, int | float):
        return None
    return float(observed) if math.isfinite(observed) else None


def _values(check: Check) -> list[float]:
    """List every number of a check that has a place on its axis."""
    found = (measured(check.observed), *(check.interval or ()), *read_bounds(check.expected))
    return [value for value in found if value is not None and math.isfinite(value)]


def _draw(check: Check, axis: _Axis) -> str:
    bounds, observed = read_bounds(check.expected), measured(check.observed)
    ticks = (axis.at(bound) for bound in bounds if math.isfinite(bound))
    parts = (
        _ground(axis, bounds),
        f'<path class="axis" d="M0 {MIDDLE}H{WIDTH}"/>',
        *(f'<path class="threshold" d="M{tick} 1V{HEIGHT - 1}"/>' for tick in ticks),
        _line(axis, check.interval) if check.interval else "",
        "" if observed is None else f'<circle class="dot" cx="{axis.at(observed)}" {ROUND}/>',
    )
    words = escape(measure(check), quote=True)
    return (
        f'<svg class="bar" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' role="img" aria-label="{words}"><title>{words}</title>{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Axis:
    """From values to pixels."""

    low: float
    high: float

    @classmethod
    def over(cls, values: list[float]) -> _Axis:
        low, high = min(values), max(values)
        room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """Return the place of a value; what lies beyond the axis, at its end."""
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)


def _ground(axis: _Axis, bounds: tuple[float, float]) -> str:
    if not any(map(math.isfinite, bounds)):
        return ""
    left, right = axis.at(bounds[0]), axis.at(bounds[1])
    width = round(max(right - left, 0), 1)
    return f'<rect class="good" x="{left}" y="0" width="{width}" height="{HEIGHT}"/>'


def _line(axis: _Axis, interval: tuple[float, float]) -> str:
    left, right = map(axis.at, interval)
    caps = f"M{left} {MIDDLE - 5}v10M{right} {MIDDLE - 5}v10"
    return f'<path class="interval" d="M{left} {MIDDLE}H{right}{caps}"/>'
