"""A study whose objective any process can run, as a program that can be killed at any moment.

``python wide_study.py FOLDER N_TRIALS WORKERS`` runs it; each trial takes a hundredth of a second.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlflow_ext.errors import TableError
from mlflow_ext.project import FloatRange, Search
from mlflow_ext.tuning.space import suggest

NAME = "wide"
SEARCH = Search(
    estimator="tiny_study.TinyModel",
    space={name: FloatRange(type="float", low=-1.0, high=1.0) for name in ("x", "y")},
    metric="roc_auc",
    direction="maximize",
    sampler="random",
    pruner="none",
)


@dataclass(frozen=True)
class Bowl:
    """Scores x and y; does something special once, in the trial that is told to."""

    folder: Path
    seconds: float = 0.0
    special: tuple = ()
    """Number of a trial, and what happens in it."""
    meets: bool = False
    """Whether the trials 0 and 1 wait for each other."""

    def __call__(self, trial):
        params = suggest(trial, SEARCH.space)
        if self.special and trial.number == self.special[0]:
            self.happen(self.special[1])
        if self.meets and trial.number < 2:
            self.meet(trial.number)
        trial.report(params["x"], self.step(trial.number))
        time.sleep(self.seconds)
        return -(params["x"] ** 2) - params["y"] ** 2

    def step(self, number):
        if self.special == (number, "halved"):
            return 0.5
        return np.int64(1)

    def meet(self, number):
        (self.folder / f"met-{number}").touch()
        deadline = time.monotonic() + 60
        while not (self.folder / f"met-{1 - number}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def happen(self, what):
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "refused":
            raise TableError("training", "gone", "rows", "bring it back")
        if what == "raised":
            raise ZeroDivisionError("no rows left")
        if what == "unreadable":
            raise UnreadableError


class UnreadableError(Exception):
    """An error that cannot say what it is."""

    def __str__(self):
        raise RuntimeError


class Unloadable:
    """An objective that only the process that made it can load."""

    def __call__(self, trial):
        return 0.0

    def __reduce__(self):
        return import_what_is_not_there, ()


def import_what_is_not_there():
    import no_such_module_at_all  # noqa: F401


def main(folder, n_trials, workers):
    from mlflow_ext.tuning.study import run_study

    search = replace(SEARCH, n_trials=int(n_trials), workers=int(workers))
    print("READY", flush=True)
    run_study(search, Bowl(Path(folder), 0.01), name=NAME, storage_dir=Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
