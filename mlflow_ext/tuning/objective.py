"""What one trial is worth: fit on growing shares of the rows, stop when it is hopeless."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_ext.data.fingerprint import fingerprint_table
from mlflow_ext.errors import SearchError, TableError
from mlflow_ext.tuning.attributes import REPORTED_MS, ROWS
from mlflow_ext.tuning.space import suggest

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import pandas as pd

    from mlflow_ext.project import Search


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The rows a trial learns from and those that score it."""

    train_x: pd.DataFrame
    train_y: pd.Series
    """0 or 1 for each row of *train_x*; 1 is the positive class."""
    validation_x: pd.DataFrame
    validation_y: pd.Series
    """0 or 1 for each row of *validation_x*."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The function Optuna optimises."""

    search: Search
    make_model: Callable[[dict[str, Any]], Any]
    """Parameters -> a classifier with ``fit`` and ``predict_proba``, not fitted."""
    tables: Tables
    score: Callable[[Any, Any], float]
    """True classes, probabilities of the positive class -> the metric of the search."""

    def __call__(self, trial: optuna.Trial) -> float:
        """Score one trial on the validation rows.

        Args:
            trial: Chooses the parameters; receives one intermediate value for each fraction.

        Returns:
            The metric of a model that was fitted on all training rows.

        Raises:
            optuna.TrialPruned: A smaller share of the rows already showed that it is hopeless.
        """
        import optuna

        params = suggest(trial, self.search.space)
        reported: list[int] = []
        subsets = nested_subsets(self.tables.train_y, self.search.fractions, self.search.seed)
        *probes, everything = enumerate(subsets)
        for step, rows in probes:
            self._report(trial, step, self._fit_and_score(params, rows), reported)
            if trial.should_prune():
                raise optuna.TrialPruned
        value = self._fit_and_score(params, everything[1])
        self._report(trial, everything[0], value, reported)
        return value

    def _fit_and_score(self, params: dict[str, Any], rows: np.ndarray) -> float:
        import numpy as np

        model = self.make_model(dict(params))
        model.fit(self.tables.train_x.iloc[rows], self.tables.train_y.iloc[rows])
        positive = list(model.classes_).index(1)
        probability = model.predict_proba(self.tables.validation_x)[:, positive]
        if not np.isfinite(probability).all():
            # A metric would blame the table, and end the study instead of the trial.
            raise ValueError("the model predicts probabilities that are not finite")
        return float(self.score(self.tables.validation_y, probability))

    @staticmethod
    def _report(trial: optuna.Trial, step: int, value: float, reported: list[int]) -> None:
        # Optuna keeps no time for an intermediate value, and a chart of it needs one.
        reported.append(time.time_ns() // 1_000_000)
        trial.set_user_attr(REPORTED_MS, reported)
        trial.report(value, step)


def check_tables(tables: Tables) -> None:
    """Find out before a study begins whether its tables can train and score a classifier.

    Raises:
        TableError: A table is empty, or its target does not hold both 0 and 1.
    """
    _check_table("training", tables.train_x, tables.train_y)
    _check_table("validation", tables.validation_x, tables.validation_y)


def bind_rows(study: optuna.Study, tables: Tables) -> None:
    """Tie *study* to the content of *tables*: values on other rows cannot be compared.

    Raises:
        SearchError: The study was begun on other rows.
    """
    found = [
        fingerprint_table(x.assign(target=y)).digest
        for x, y in (
            (tables.train_x, tables.train_y),
            (tables.validation_x, tables.validation_y),
        )
    ]
    begun = study.user_attrs.get(ROWS)
    if begun is None:
        study.set_user_attr(ROWS, found)
    elif begun != found:
        raise SearchError(
            f"study '{study.study_name}' was begun on other rows: {begun}, now {found}",
            "the training and validation rows the study was begun on",
            "choose another study name",
        )


def nested_subsets(target: Any, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Draw growing shares of the rows, each holding the one before and the same mix of classes.

    Args:
        target: The class of each row, shape (n,).
        fractions: Growing shares in (0, 1].
        seed: Equal seeds draw equal rows.

    Returns:
        One array of row positions for each fraction, in the order of the table.

    >>> [rows.tolist() for rows in nested_subsets([0, 1, 0, 1], [0.5, 1.0], seed=0)]
    [[0, 1], [0, 1, 2, 3]]
    """
    import numpy as np

    labels = np.asarray(target)
    random = np.random.default_rng(seed)
    place = np.empty(len(labels))
    classes = np.unique(labels)
    for label in classes:
        rows = np.flatnonzero(labels == label)
        place[rows] = random.permutation(len(rows)) / len(rows)
    order = np.argsort(place, kind="stable")
    sizes = [max(len(classes), math.ceil(len(labels) * fraction)) for fraction in fractions]
    return [np.sort(order[:size]) for size in sizes]


def _check_table(name: str, rows: pd.DataFrame, target: pd.Series) -> None:
    if len(rows) == 0:
        raise TableError(name, "no rows", "at least one row of each class", "choose other months")
    classes = sorted(set(target.unique().tolist()), key=str)
    if classes != [0, 1]:
        raise TableError(
            name,
            f"the target holds {classes[:5]}",
            "both 0 and 1, and nothing else",
            "choose months in which both classes occur",
        )
