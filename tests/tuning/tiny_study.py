"""A study small enough to run hundreds of trials, as a program that can be killed on cue.

``python tiny_study.py FOLDER N_TRIALS STALL`` runs it under MLflow. STALL is ``fit:N`` (stops in
the N-th fit) or ``no``.
"""

import sys
import time
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from mlflow_ext.project import Choices, FloatRange, IntRange, Search
from mlflow_ext.tuning import Tables, TuningTask, tune
from mlflow_ext.tuning.attributes import RETRY_OF

NAME = "bob's study"
SEARCH = Search(
    estimator="sklearn.linear_model.LogisticRegression",
    space={
        "slope": FloatRange(type="float", low=-2.0, high=2.0),
        "scale": FloatRange(type="float", low=0.01, high=10.0, log=True),
        "power": IntRange(type="int", low=1, high=5, step=2),
        "kind": Choices(type="categorical", choices=("sign", "line", None)),
    },
    metric="roc_auc",
    direction="maximize",
    n_trials=14,
    seed=3,
    fractions=(0.2, 1.0),
)


@dataclass
class TinyModel:
    """Learns the mean of each feature and weighs it by its parameters."""

    slope: float
    scale: float
    power: int
    kind: str | None

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.mean = x.mean()
        return self

    def predict_proba(self, x):
        centred = (x - self.mean).to_numpy()
        bend = {"sign": np.sign(centred[:, 1]), "line": centred[:, 1], None: 0.0}[self.kind]
        score = self.slope * centred[:, 0] + self.scale * centred[:, 2] ** self.power + bend
        positive = 1 / (1 + np.exp(-np.clip(score, -50, 50)))
        return np.column_stack([1 - positive, positive])


def auc(y, probability):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(y, probability)


def score(metric, y, probability):
    """The metrics of a search; those of the package would be more than a tiny model needs."""
    if metric == "brier":
        return float(((probability - y) ** 2).mean())
    return auc(y, probability)


def make_tiny(params):
    return TinyModel(**params)


def make_tables(rows=200):
    random = np.random.default_rng(0)
    x = pd.DataFrame(random.normal(size=(rows, 3)), columns=list("abc"))
    y = (x["a"] + x["b"] + random.normal(size=rows) > 0).astype("int64")
    half = rows // 2
    return Tables(train_x=x[:half], train_y=y[:half], validation_x=x[half:], validation_y=y[half:])


def make_task(folder, search=SEARCH, make_model=make_tiny, name=NAME):
    return TuningTask(
        name=name,
        storage_dir=Path(folder),
        search=replace(search, estimator="tiny_study.TinyModel"),
        make_model=make_model,
        tables=make_tables(),
        score=score,
    )


def essence(trials):
    """What two equal studies agree in: all but times, owners and the numbers of repeated trials."""
    repeated = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return [
        (t.params, t.values, t.intermediate_values, t.state)
        for t in trials
        if t.number not in repeated
    ]


def stall():
    print("READY", flush=True)
    time.sleep(600)


def stalling_model(at):
    fits = count(1)

    def make_model(params):
        if next(fits) == at:
            stall()
        return TinyModel(**params)

    return make_model


def main(folder, n_trials, where):
    import mlflow

    kind, _, at = where.partition(":")
    make_model = stalling_model(int(at) if kind == "fit" else None)
    mlflow.set_experiment("test")
    with mlflow.start_run():
        tune(make_task(folder, replace(SEARCH, n_trials=int(n_trials)), make_model))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
