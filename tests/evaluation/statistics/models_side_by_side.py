"""Predictions for tests of statistics: one truth, and models that see it more or less well."""

import numpy as np
from hypothesis import strategies as st

from mlflow_ext.evaluation.predictions import Predictions


def models(rows, *noises, seed=1):
    """One model per noise, each knowing the true probability up to that noise."""
    random = np.random.default_rng(seed)
    truth = random.beta(1, 2, rows)
    labels = (random.random(rows) < truth).astype(int)
    return [
        Predictions("holdout", labels, np.clip(truth + noise * random.normal(size=rows), 0, 1))
        for noise in noises
    ]


@st.composite
def predictions(draw, fewest=2, most=40, number=1):
    """Models of the same few rows of both classes, with probabilities on a grid: ties abound."""
    rows = draw(st.integers(fewest, most))
    labels = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=rows - 2, max_size=rows - 2))]
    grid = st.lists(st.integers(0, 10), min_size=rows, max_size=rows)
    return [
        Predictions("holdout", np.array(labels), np.array(draw(grid)) / 10) for _ in range(number)
    ]
