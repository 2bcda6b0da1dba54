"""A study that several processes share through a database, and that two machines could.

``python shared_study.py URL N_TRIALS`` takes part: it waits for a line in its first fit.
"""

import sys
import time
from dataclasses import replace
from itertools import count

from tiny_study import SEARCH, TinyModel, make_task

from mlflow_ext.tuning import tune


def main(url, n_trials):
    import mlflow

    fits = count(1)

    def make_model(params):
        if next(fits) == 1:
            print("READY", flush=True)
            input()
        time.sleep(0.1)
        return TinyModel(**params)

    search = replace(SEARCH, n_trials=int(n_trials), sampler="random", pruner="none", storage=url)
    mlflow.set_experiment("shared")
    with mlflow.start_run() as run:
        tune(replace(make_task("none", search, make_model), is_quiet=True))
    print(run.info.run_id, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
