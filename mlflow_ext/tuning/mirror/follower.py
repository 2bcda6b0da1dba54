"""A thread that follows a study and shows its finished trials in MLflow, batch by batch.

The search never waits for it and never fails because of it: the journal holds everything, so what
a tracking server does not take now can be written later, from any process.
"""

from __future__ import annotations

import contextvars
import logging
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from mlflow_ext.interruption import interrupted_by_sigterm
from mlflow_ext.tracking.address import hide_password
from mlflow_ext.tuning.mirror.content import begin_ms
from mlflow_ext.tuning.mirror.place import StudyRun
from mlflow_ext.tuning.mirror.reconciliation import finished_trials, reconcile
from mlflow_ext.tuning.sessions import list_others

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mlflow_ext.tracking.writer import Writer

POLL_SECONDS = 1.0
LONGEST_PAUSE = 30.0
PATIENCE = 30.0
"""So long the end of a search waits for a mirror that makes no progress."""
CAUSE_LENGTH = 200

_logger = logging.getLogger(__name__)


def spell_sync(study_name: str, where: str) -> str:
    """Say the command that brings MLflow to what a study says.

    Args:
        study_name: Its name.
        where: The folder of journals, or the URL of the database, in which it lies.

    >>> spell_sync("late flights", "studies")
    "mlflow-ext tune sync 'late flights' --studies studies"
    """
    words = map(shlex.quote, (study_name, hide_password(where)))
    return "mlflow-ext tune sync {} --studies {}".format(*words)


def warn_missing(what: str, study_name: str, where: str, error: Exception | None) -> None:
    """Say in one line what MLflow lacks of a study, why, and the command that brings it there.

    Args:
        what: What is missing, and its verb.
        study_name: Name of the study.
        where: The folder of journals, or the URL of the database, in which it lies.
        error: What the store answered; None: nothing.
    """
    said = str(error or "the store does not answer").partition("\n")[0]
    text = "%s not in MLflow yet (%s). To show all of it: %s"
    cause = hide_password(said)[:CAUSE_LENGTH]
    _logger.warning(text, what, cause, spell_sync(study_name, where))


@contextmanager
def following(place: StudyRun, study: optuna.Study, where: str) -> Iterator[Follower]:
    """Show the trials of *study* as they finish, until the block ends; then the rest of them.

    Whatever ends the block, the rest is written first: an exception, Ctrl-C, or a SIGTERM for which
    the program has no plans of its own. What could not be written is told in one line.

    Args:
        place: Where the trials appear.
        study: A handle of its own, for the search's may show what is not on disk yet.
        where: The folder of journals, or the URL of the database, in which the study lies.
    """
    follower = Follower(place, study, where)
    with interrupted_by_sigterm(partial(SystemExit, 128 + signal.SIGTERM)):
        follower.start()
        try:
            yield follower
        finally:
            follower.finish()


class Follower:
    """Shows the trials of one study; of those it has shown it keeps the numbers alone."""

    def __init__(self, place: StudyRun, study: optuna.Study, where: str) -> None:
        self.error: Exception | None = None
        """Why the last attempt failed; None after one that did not."""
        self.is_behind = False
        """Whether trials were missing in MLflow at the end."""
        self._place, self._study, self._where = place, study, where
        self._writer: Writer | None = None
        self._shown: set[int] = set()
        self._is_shared = False
        self._ending = threading.Event()
        # A daemon: a server that has stopped to answer keeps no process from ending.
        follow = contextvars.copy_context().run  # with MLflow's workspace
        self._thread = threading.Thread(target=follow, args=(self._follow,), daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def finish(self) -> None:
        """Write the rest, and say in one line what could not be written."""
        self._ending.set()
        is_slow = False
        while self._thread.is_alive() and not is_slow:
            before = len(self._shown)
            self._thread.join(PATIENCE)
            is_slow = len(self._shown) == before
        if left := len(self._missing()):
            self.is_behind = True
            name = self._place.study_name
            warn_missing(f"{left} trials of study '{name}' are", name, self._where, self.error)

    def _missing(self) -> list[FrozenTrial]:
        return [t for t in finished_trials(self._study) if t.number not in self._shown]

    def _follow(self) -> None:
        pause = POLL_SECONDS
        while not self._ending.wait(pause):
            self._attempt(is_last=False)
            pause = min(2 * pause, LONGEST_PAUSE) if self.error else POLL_SECONDS
        self._attempt(is_last=True)

    def _attempt(self, is_last: bool) -> None:
        try:
            self._show(is_last)
            self.error = None
        except Exception as error:  # whatever a store raises concerns the mirror, not the search
            self.error = error

    def _show(self, is_last: bool) -> None:
        self._move()
        due = self._missing()
        is_last_look = is_last and self._is_shared
        if not (due or is_last_look):
            return
        writer = self._open_writer()
        # Where doubles can come from another machine, the end looks at everything once more; also
        # where one may have written under the run that it knew when it began to write.
        is_whole = is_last_look or (is_last and not writer.is_idempotent)
        trials = finished_trials(self._study) if is_whole else due
        is_new = self._shown and not self.error and not is_whole
        since = min(map(begin_ms, due)) if is_new else 0
        for numbers, _ in reconcile(self._place, writer, trials, since):
            self._shown.update(numbers)

    def _move(self) -> None:
        """Go to the run that was the last to go on with the study, and look at everything anew."""
        self._is_shared = self._is_shared or bool(list_others(self._study))
        place = self._place.follow(self._study)
        if place is not self._place:
            self._place = place
            self._shown.clear()

    def _open_writer(self) -> Writer:
        """Ask the store anew while it takes single calls alone: one that is dead says so soon."""
        from mlflow_ext.tracking.writer import open_writer

        if self._writer is None or not self._writer.is_idempotent:
            self._writer = open_writer(self._place.client)
        return self._writer
