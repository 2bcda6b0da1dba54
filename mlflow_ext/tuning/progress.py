"""How far a search is, told on stderr while it runs: best value, trials a second, time left.

A thread of the process that watches looks at the study from time to time; no trial waits for it,
and it does not matter which process or machine runs the trials.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING, TextIO

from mlflow_ext.tuning.front import is_usable
from mlflow_ext.tuning.leaderboard import is_maximized, metric_names

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

LOOK_SECONDS = 0.5
LINE_SECONDS = 15.0
"""How often a stream that is no terminal gets a line, unless nothing has happened."""
BAR = 20


@dataclass(frozen=True, kw_only=True)
class Goal:
    """When the search ends."""

    n_trials: int
    """Trials in all."""
    timeout: float | None = None
    """Seconds from now after which no trial begins; None: no limit."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the search is."""

    done: int
    """Finished trials, those of earlier calls included."""
    wanted: int
    best: dict[str, float]
    """Objective -> its best value so far; empty before the first."""
    per_second: float
    """Trials finished in a second, since this call began."""
    seconds_left: float | None
    """0 at the end; None while nothing can be said."""


def measure_progress(study: optuna.Study, goal: Goal, already: int, elapsed: float) -> Progress:
    """Find out how far *study* is.

    Args:
        study: The study.
        goal: When it ends.
        already: How many of its trials were finished when this call began.
        elapsed: Seconds since then.
    """
    trials = study.get_trials(deepcopy=False)
    done = sum(trial.state.is_finished() for trial in trials)
    pace = (done - already) / elapsed if elapsed > 0 else 0.0
    bounds = [max(0, goal.n_trials - done) / pace] if pace else []
    if goal.timeout is not None:
        bounds.append(max(0.0, goal.timeout - elapsed))
    return Progress(
        done=done,
        wanted=goal.n_trials,
        best=_find_best(study, trials),
        per_second=pace,
        seconds_left=min(bounds, default=None),
    )


def write_line(progress: Progress) -> str:
    """Put *progress* into one line.

    >>> found = {"auc": 0.71234}
    >>> write_line(Progress(done=5, wanted=9, best=found, per_second=2.5, seconds_left=6))
    '5 of 9 trials, auc 0.71234, 2.5 trials/s, 0:06 left'
    """
    best = ", ".join(f"{name} {value:.5g}" for name, value in progress.best.items())
    pace = f"{progress.per_second:.3g} trials/s" if progress.per_second else ""
    left = f"{_clock(progress.seconds_left)} left" if progress.seconds_left else ""
    count = f"{progress.done} of {progress.wanted} trials"
    return ", ".join(filter(None, (count, best, pace, left)))


def write_bar(progress: Progress, width: int) -> str:
    """Put *progress* into one line of at most *width* characters, behind a bar."""
    share = min(1.0, progress.done / progress.wanted)
    full = math.floor(share * BAR)
    return f"[{'#' * full}{'.' * (BAR - full)}] {write_line(progress)}"[: max(width, 0)]


@contextmanager
def showing(
    study: optuna.Study, goal: Goal, stream: TextIO | None = None, *, is_quiet: bool = False
) -> Iterator[None]:
    """Show on *stream* how far *study* is, until the block ends; then once more.

    A terminal gets a bar that is drawn anew in its place; any other stream a plain line now and
    then.

    Args:
        study: Read along; may be the handle of the search itself.
        goal: When it ends.
        stream: Where to write; None means stderr.
        is_quiet: True shows nothing.
    """
    if is_quiet:
        yield
        return
    display = _Display(study, goal, stream or sys.stderr)
    display.start()
    try:
        yield
    finally:
        display.finish()


class _Display:
    """The thread that looks at a study and tells how far it is."""

    def __init__(self, study: optuna.Study, goal: Goal, stream: TextIO) -> None:
        self._study, self._goal, self._stream = study, goal, stream
        self._is_terminal = stream.isatty()
        self._began = time.monotonic()
        self._already = sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))
        self._told = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._ending.set()
        self._thread.join()
        self._tell("\n")

    def _watch(self) -> None:
        pause = LOOK_SECONDS if self._is_terminal else LINE_SECONDS
        while not self._ending.wait(pause):
            self._tell()

    def _tell(self, end: str = "") -> None:
        # A database that is away for a moment, or a closed terminal, is no reason to end a search.
        with suppress(Exception):
            self._write(end)

    def _write(self, end: str) -> None:
        elapsed = time.monotonic() - self._began
        progress = measure_progress(self._study, self._goal, self._already, elapsed)
        if self._is_terminal:
            width = get_terminal_size().columns - 1
            self._stream.write(f"\r{write_bar(progress, width):<{width}}{end}")
        elif (count := f"{progress.done} {progress.best}") != self._told:
            self._told = count
            self._stream.write(write_line(progress) + "\n")
        self._stream.flush()


def _find_best(study: optuna.Study, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    values = [trial.values for trial in trials if is_usable(trial)]
    if not values:
        return {}
    columns = zip(metric_names(study), is_maximized(study), zip(*values, strict=True), strict=True)
    return {name: max(column) if is_up else min(column) for name, is_up, column in columns}


def _clock(seconds: float) -> str:
    """Say a span of time as a clock does.

    >>> _clock(6), _clock(75), _clock(3725)
    ('0:06', '1:15', '1:02:05')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
