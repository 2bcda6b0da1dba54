"""Bring the child runs in MLflow to exactly one for each finished trial."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from mlflow_ext.tuning.backend import make_lock
from mlflow_ext.tuning.mirror.children import list_children, plan_repair
from mlflow_ext.tuning.mirror.place import StudyRun

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mlflow_ext.tracking.writer import Writer

TRIALS_PER_STEP = 200
PASSES = 10


def sync(place: StudyRun, study: optuna.Study) -> int:
    """Bring the child runs of *study* to one for each finished trial, with equal content.

    May be called any number of times, by any process, by several at once, after any crash. Children
    of an earlier parent run move under this one.

    Returns:
        How many child runs were made, ended, moved, corrected or removed; 0 when all was right.
    """
    from mlflow_ext.tracking.writer import open_writer

    writer, changed = open_writer(place.client), 0
    for _ in range(PASSES):
        # Somebody on another machine may do the same: whoever ends last has seen that all is right.
        steps = [step for _, step in reconcile(place, writer, finished_trials(study))]
        changed += sum(steps)
        if not any(steps):
            break
    return changed


def reconcile(
    place: StudyRun, writer: Writer, trials: Sequence[FrozenTrial], since_ms: int = 0
) -> Iterator[tuple[list[int], int]]:
    """Bring the child runs of some finished trials to one each, step by step.

    Args:
        place: Where they appear.
        writer: Brings them there.
        trials: Finished ones.
        since_ms: When the first of them began, if none had a child a moment ago; 0 looks at all
            children.

    Yields:
        Numbers of trials that are right now, and how many child runs were made, ended, moved,
        corrected or removed for that.
    """
    with _alone(place):
        # What is sent twice is one run there: new trials need no look, whose cost would grow.
        is_known = since_ms > 0 and writer.is_idempotent
        children = {} if is_known else list_children(place, trials, since_ms)
        for first in range(0, len(trials), TRIALS_PER_STEP):
            step = trials[first : first + TRIALS_PER_STEP]
            repair = plan_repair(place, step, children)
            yield repair.right, 0
            for run_id in repair.doubles:
                place.client.delete_run(run_id)
            writer.write(place.experiment_id, repair.runs, repair.there)
            yield [trial.number for trial in step], len(repair)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials of *study* that will not change any more."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


@contextmanager
def _alone(place: StudyRun) -> Iterator[None]:
    """Let one process of this machine at a time look what is missing and make it."""
    lock = make_lock(Path(gettempdir()) / f"mlflow-ext-{getpass.getuser()}-{place.study_id}.lock")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
