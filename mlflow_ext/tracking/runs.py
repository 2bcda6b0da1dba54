"""What one finished run holds, apart from where it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

MAX_RUNS = 500
"""So many runs a server takes at once."""
RUNS_PER_BATCH = 200
# Proxies in front of servers refuse larger bodies, as a rule beyond 1 MB.
LETTERS_PER_BATCH = 600_000
LETTERS_PER_POINT = 64
SOURCE = "mlflow_ext.study_id"
"""Tag that says what a run shows: a run that has begun is completed only by who says the same."""


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
