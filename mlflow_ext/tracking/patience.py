"""Seconds instead of minutes: how long somebody waits for a server that is gone.

MLflow's client asks a dead server again for several minutes. A thread of its own may wait; the end
of a search, or whoever only wants to know whether there is an answer, may not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

SECONDS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


@contextmanager
def impatient(patience: Mapping[str, str] = SECONDS) -> Iterator[None]:
    """Let MLflow's client give up soon, unless its patience was set, until the block ends.

    Args:
        patience: Variable of MLflow's client -> what it is instead of MLflow's own value.
    """
    unset = {name: value for name, value in patience.items() if name not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)
