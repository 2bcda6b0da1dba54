"""A study that waits for a line in one of its fits, in a process that leaves without a goodbye.

``python left_study.py FOLDER AT KIND`` waits in fit AT; its run is never ended. Every fit of a
study of the KIND ``ill`` fails.
"""

import os
import sys
from dataclasses import replace
from itertools import count

from tiny_study import SEARCH, TinyModel, make_task

from mlflow_ext.errors import MlflowExtError
from mlflow_ext.tuning import tune


def main(folder, at, kind):
    import mlflow

    fits = count(1)

    def make_model(params):
        if next(fits) == int(at):
            print("READY", flush=True)
            input()
        if kind == "ill":
            raise ValueError("never works")
        return TinyModel(**params)

    mlflow.set_experiment("left")
    mlflow.start_run()
    try:
        result = tune(make_task(folder, replace(SEARCH, n_trials=8), make_model))
        print("best", result.best_value, flush=True)
    except MlflowExtError as error:
        print(type(error).__name__, flush=True)
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
