"""A study in a database, begun anew by process after process, each of which dies a bit later.

``python dying_study.py FOLDER SAMPLER`` runs the study of ``FOLDER/0.db`` to its end and begins
those of ``FOLDER/1.db``, ``FOLDER/3.db`` and so on: in ``N.db``, instead of the N-th commit the
process is killed. It ends when one process was not.
"""

import os
import signal
import sys
from dataclasses import replace
from itertools import count

from sqlalchemy import event
from sqlalchemy.engine import Engine
from wide_study import SEARCH

from mlflow_ext.project import IntRange
from mlflow_ext.tuning.desk import Desk
from mlflow_ext.tuning.journal import begin_study, open_store, quiet_optuna
from mlflow_ext.tuning.space import suggest
from mlflow_ext.tuning.study import run_trials

CHAMPION, KNOWN = {"x": 0.5, "y": 0.25}, {"y": -0.5}
GRID = {name: IntRange(type="int", low=0, high=1) for name in "xy"}


def search_in(folder, file, sampler):
    changes = {"enqueue": (KNOWN,), "sampler": sampler, "n_trials": 3}
    if sampler == "grid":
        changes |= {"enqueue": (), "space": GRID}
    return replace(SEARCH, **changes, storage=f"sqlite:///{folder}/{file}.db")


def go_on(folder, file, sampler):
    """Run what is missing of the study in *file*, and return it."""
    search = search_in(folder, file, sampler)
    store, first = open_store(search, "a", folder), () if sampler == "grid" else (CHAMPION,)
    with quiet_optuna():
        study = begin_study(store, search, "a", first)
        run_trials(
            Desk(store, study, search),
            search,
            lambda trial: sum(suggest(trial, search.space).values()),
        )
    return study


def die_at(last):
    """Kill this process instead of its commit of number *last*."""
    commits = count(1)

    def kill(_):
        if next(commits) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "commit", kill)


def main(folder, sampler):
    go_on(folder, 0, sampler)  # what it imports, no child has to
    for number in count(1, 2):  # a trial takes 13 commits, so the next one is hit where this is not
        child = os.fork()
        if not child:
            die_at(number)
            go_on(folder, number, sampler)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
