"""Seconds instead of minutes: what a search waits at its end for a server that is gone.

MLflow's client asks a dead server again for several minutes. During a search a thread of its own
may wait; at the end, its result waits too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


@contextmanager
def impatient() -> Iterator[None]:
    """Let MLflow's client give up soon, unless its patience was set, until the block ends."""
    unset = {name: value for name, value in SECONDS.items() if name not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)
