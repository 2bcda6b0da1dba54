"""Signs of life of the processes that give out trials, for those of other machines to see.

On one machine the kernel knows which processes live. Of a process elsewhere only what it writes can
be known: so it writes the time into the study, again and again, and who has been silent for long is
taken for dead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlflow_ext.process import current_process, is_alive
from mlflow_ext.tuning.attributes import ALIVE

if TYPE_CHECKING:
    import optuna

BEAT_SECONDS = 20.0
GRACE_SECONDS = 120.0  # of silence; far more than clocks of machines that work together differ

_logger = logging.getLogger(__name__)


def has_died(study: optuna.Study, process: str) -> bool:
    """Say whether *process* is known to be dead; one that never wrote of itself is not.

    Args:
        study: In which it gives out trials.
        process: A name that `mlflow_ext.process.current_process` returned, here or elsewhere.
    """
    return _find_life(study, process) is False


def shows_life(study: optuna.Study, process: str) -> bool:
    """Say whether *process* is known to live. Arguments are those of `has_died`."""
    return _find_life(study, process) is True


def _find_life(study: optuna.Study, process: str) -> bool | None:
    alive = is_alive(process)
    if alive is not None:
        return alive
    last = study.user_attrs.get(ALIVE + process)
    return None if last is None else time.time() - last <= GRACE_SECONDS


@contextmanager
def beating(study: optuna.Study) -> Iterator[None]:
    """Write into *study* that this process lives, until the block ends.

    Args:
        study: In a database; two threads may not write to one journal.
    """
    key = ALIVE + current_process()

    def beat() -> None:
        study.set_user_attr(key, time.time())

    beat()
    with repeating(beat):
        yield


@contextmanager
def repeating(beat: Callable[[], None]) -> Iterator[None]:
    """Call *beat* every `BEAT_SECONDS` from another thread, until the block ends."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(BEAT_SECONDS):
            try:
                beat()
            except Exception as error:  # the database is away: the search itself will say so
                _logger.warning("no sign of life could be written: %s", error)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
