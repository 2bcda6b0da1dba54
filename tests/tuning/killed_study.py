"""A study of short trials under MLflow, as a program that can be killed at any moment.

``python killed_study.py FOLDER N_TRIALS WORKERS`` runs it.
"""

import sys
import time
from dataclasses import replace

from tiny_study import NAME, SEARCH, TinyModel, make_task

from mlflow_ext.tuning import tune

__all__ = ["NAME"]


def make_slowly(params):
    time.sleep(0.02)
    return TinyModel(**params)


def main(folder, n_trials, workers):
    import mlflow

    search = replace(SEARCH, n_trials=int(n_trials), workers=int(workers), sampler="random")
    mlflow.set_experiment("killed")
    with mlflow.start_run():
        print("READY", flush=True)
        tune(replace(make_task(folder, search, make_slowly), is_quiet=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
