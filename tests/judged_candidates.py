"""Departures from three airports, and a model of them before its judges."""

import gate_candidates
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from mlflow_ext.evaluation.predictions import Predictions

INPUTS = gate_candidates.INPUTS


def departures(rows=2000, seed=0):
    """Rows whose label follows ``x``, from three origins; three of them are flown by HA."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": random.normal(size=rows), "hour": random.integers(24, size=rows)})
    frame["hour"] = frame.hour.astype(float)
    frame["origin"] = random.choice(["EWR", "JFK", "LGA"], rows)
    frame["carrier"] = np.where(np.arange(rows) < 3, "HA", random.choice(["UA", "DL"], rows))
    noise = random.normal(scale=0.5, size=rows)
    return frame.assign(late=(frame.x + noise > 0).astype("int64"))


def save(folder, model=None):
    """Fit a scikit-learn *model* to departures and save it; returns its files."""
    frame = departures(seed=1)
    estimator = LogisticRegression() if model is None else model
    return gate_candidates.save(folder, estimator.fit(frame[INPUTS], frame.late))


def make_candidate(files, holdout=None, training=None):
    """Judged on departures that it has not learned from."""
    judged = departures(seed=2) if holdout is None else holdout
    return gate_candidates.candidate(files, judged, training)


def predict(labels, right):
    """Predictions that are sure of themselves, and right where *right* says so."""
    labels = np.asarray(labels)
    return Predictions("holdout", labels, np.where(right, labels, 1 - labels).astype(float))
