"""What every benchmark program shares: arguments, medians, the machine, and how figures are shown.

A program measures against a named peer in the same run and hands `report` its figures::

    if __name__ == "__main__":
        sys.exit(report(__doc__, measure))
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

RUNS = 3
LIBRARIES = ("mlflow", "optuna", "pandas", "pyarrow", "numpy")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value beside that of a peer, and whether the goal for their ratio holds."""

    name: str
    value: float
    """Ours, in *unit*; the less the better unless *at_least* is given."""
    unit: str
    peer: str
    peer_value: float
    at_most: float | None = None
    """Goal: ratio of *value* to *peer_value* not above this; None: no such goal."""
    at_least: float | None = None
    """Goal: ratio not below this; None: no such goal."""

    @property
    def ratio(self) -> float:
        """Our value in units of the peer's; infinite when that is zero."""
        return self.value / self.peer_value if self.peer_value else math.inf

    @property
    def goal(self) -> str:
        """The goal in words."""
        bounds = ((self.at_most, "<="), (self.at_least, ">="))
        return " and ".join(f"ratio {sign} {bound:g}" for bound, sign in bounds if bound) or "none"

    @property
    def holds(self) -> bool:
        """True when the goal holds, or there is none."""
        is_below = self.at_most is None or self.ratio <= self.at_most
        return is_below and (self.at_least is None or self.ratio >= self.at_least)

    def as_json(self) -> dict[str, Any]:
        """Return the figure as the JSON document shows it."""
        known = asdict(self)
        fields = ("name", "value", "unit", "peer", "peer_value")
        derived = {"ratio": self.ratio, "goal": self.goal, "holds": self.holds}
        return {field: known[field] for field in fields} | derived


def report(description: str | None, measure: Callable[[bool], Sequence[Figure]]) -> int:
    """Run *measure*, print its figures and return the exit status.

    Args:
        description: The program's docstring, shown by ``--help``.
        measure: Takes True for ``--quick`` (within a minute) and returns the figures.

    Returns:
        0 when every goal holds, else 1.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small data, within a minute")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args()
    figures = measure(options.quick)
    print(as_json(figures) if options.format == "json" else as_table(figures))
    return 0 if all(figure.holds for figure in figures) else 1


def median_seconds(*jobs: Callable[[], object], runs: int = RUNS) -> list[float]:
    """Time *jobs* in turn, *runs* times over, so that a busy moment hits all; median each, in s."""
    taken = [[_seconds(job) for job in jobs] for _ in range(runs)]
    return [statistics.median(times) for times in zip(*taken, strict=True)]


def as_json(figures: Sequence[Figure]) -> str:
    """Return the whole result as a JSON document."""
    return json.dumps({"figures": [f.as_json() for f in figures], "machine": machine()}, indent=2)


def as_table(figures: Sequence[Figure]) -> str:
    """Return the whole result as a Markdown table with the machine below."""
    header = (
        "| figure | ours | peer | theirs | ratio | goal | holds |\n|---|--:|---|--:|--:|---|---|"
    )
    rows = [
        f"| {f.name} | {f.value:.3g} {f.unit} | {f.peer} | {f.peer_value:.3g} {f.unit} "
        f"| {f.ratio:.2f} | {f.goal} | {'yes' if f.holds else 'NO'} |"
        for f in figures
    ]
    below = ", ".join(f"{key} {value}" for key, value in machine().items())
    return "\n".join([header, *rows, "", below])


def machine() -> dict[str, str]:
    """Describe where the figures were taken: processor, cores, load, Python, libraries."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    return found | {library: version(library) for library in LIBRARIES}


def _seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
