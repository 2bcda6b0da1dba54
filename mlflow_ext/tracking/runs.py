"""What one finished run holds, apart from where it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

MAX_RUNS = 500
"""So many runs a server takes at once."""
RUNS_PER_BATCH = 200
# Proxies in front of servers refuse larger bodies, as a rule beyond 1 MB.
LETTERS_PER_BATCH = 600_000
LETTERS_PER_POINT = 64


class MetricPoint(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    timestamp_ms: int
    step: int


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """A run that has ended, with all it logged but files."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # a misspelt key would lose what it holds

    run_id: str
    """Chosen by the client, 32 hexadecimal digits: what is sent twice is one run."""
    name: str
    status: Literal["FINISHED", "FAILED", "KILLED"]
    start_ms: int
    """Milliseconds since the epoch."""
    end_ms: int
    params: Mapping[str, str]
    metrics: Sequence[MetricPoint]
    tags: Mapping[str, str]


def shown_values(points: Iterable[MetricPoint]) -> dict[str, float]:
    """Return metric -> the value that MLflow shows: that of the last step, there the latest.

    >>> shown_values([MetricPoint("loss", 0.5, 9, 0), MetricPoint("loss", 0.25, 3, 1)])
    {'loss': 0.25}
    """
    ordered = sorted(points, key=lambda point: (point.step, point.timestamp_ms, point.value))
    return {point.key: point.value for point in ordered}


def batches(runs: Sequence[RunContent]) -> Iterator[list[RunContent]]:
    """Cut *runs* into batches that a server, and a proxy before it, takes at once.

    >>> list(batches([]))
    []
    """
    batch: list[RunContent] = []
    letters = 0
    for run in runs:
        size = _letters(run)
        if batch and (len(batch) == RUNS_PER_BATCH or letters + size > LETTERS_PER_BATCH):
            yield batch
            batch, letters = [], 0
        batch.append(run)
        letters += size
    if batch:
        yield batch


def _letters(run: RunContent) -> int:
    texts = (*run.params.items(), *run.tags.items())
    return sum(len(key) + len(text) for key, text in texts) + LETTERS_PER_POINT * len(run.metrics)
