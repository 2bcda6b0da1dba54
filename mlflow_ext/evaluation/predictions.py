"""What a model said about rows whose outcome is known: the one input of everything here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlflow_ext.errors import TableError

Array = npt.NDArray[Any]
TABLE = "predictions"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of the positive class beside the labels, checked once.

    Raises:
        TableError: No rows, unequal lengths, a label other than 0 and 1, or a probability that is
            missing, infinite or outside [0, 1].
    """

    split: str
    """Which rows these are, e.g. ``holdout``."""
    labels: Array
    """Shape (rows,), 0 or 1."""
    probability: Array
    """Shape (rows,), in [0, 1]: the predicted probability of label 1."""
    decision_threshold: float = 0.5
    """Probability from which the positive class is predicted."""

    def __post_init__(self) -> None:
        # As arrays, so that the index of a pandas column can never realign rows.
        object.__setattr__(self, "labels", np.asarray(self.labels))
        object.__setattr__(self, "probability", np.asarray(self.probability, dtype=float))
        _check(self.labels, self.probability)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.labels)

    @property
    def positive_rate(self) -> float:
        """Share of rows whose label is 1."""
        return float(np.mean(self.labels))

    @property
    def has_both_classes(self) -> bool:
        """True when both labels occur."""
        return 0 < self.positive_rate < 1

    @property
    def decisions(self) -> Array:
        """The predicted class of each row, 0 or 1."""
        return (self.probability >= self.decision_threshold).astype(int)

    def take(self, rows: Array) -> Predictions:
        """Return the predictions at *rows*: a mask, or positions."""
        return Predictions(
            self.split, self.labels[rows], self.probability[rows], self.decision_threshold
        )


def _check(labels: Array, probability: Array) -> None:
    if labels.shape != probability.shape or labels.ndim != 1 or not len(labels):
        found = f"labels of shape {labels.shape} and probabilities of shape {probability.shape}"
        raise TableError(
            TABLE, found, "one of each per row, at least one row", "score the rows again"
        )
    strange = ~np.isin(labels, (0, 1))
    if strange.any():
        found = f"label {labels[strange][0]} in {strange.sum()} of {len(labels)} rows"
        raise TableError(TABLE, found, "labels 0 and 1", "drop rows without a label")
    wrong = ~((probability >= 0) & (probability <= 1))
    if wrong.any():
        found = f"probability {probability[wrong][0]} in {wrong.sum()} of {len(labels)} rows"
        raise TableError(TABLE, found, "numbers in [0, 1]", "pass predict_proba(rows)[:, 1]")
