"""What one trial is worth: fit step by step, each on more than before; stop when it is hopeless."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.tuning.attributes import BOUNDED, EXCESS
from mlflow_ext.tuning.rows import Tables, draw_folds, load_tables, nested_subsets
from mlflow_ext.tuning.space import go_on_to, suggest

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import pandas as pd

    from mlflow_ext.project import Search
    from mlflow_ext.tuning.rows import Fold
    from mlflow_ext.tuning.trials import ClaimedTrial

__all__ = ["Objective", "StoredObjective", "Tables"]

Figures = Mapping[str, float]
"""Metric -> value."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The function Optuna optimises."""

    search: Search
    make_model: Callable[[dict[str, Any]], Any]
    """Parameters -> a classifier with ``fit`` and ``predict_proba``, not fitted."""
    tables: Tables
    score: Callable[[str, Any, Any], float]
    """Metric, true classes, probabilities of the positive class -> its value."""

    def __call__(self, trial: optuna.Trial | ClaimedTrial) -> float | list[float]:
        """Score one trial.

        Args:
            trial: Chooses the parameters; receives one intermediate value for each step.

        Returns:
            The metric of a model that was fitted on all training rows, or its mean over the folds;
            a list where there are several objectives.

        Raises:
            optuna.TrialPruned: An earlier step already showed that it is hopeless.
        """
        import optuna

        params = suggest(trial, self.search.space)
        last = self._n_steps - 1
        figures: Figures = {}
        for step, figures in enumerate(self._steps(params)):
            self._note(trial, step, figures)
            if step != last and not self.search.objectives and trial.should_prune():
                raise optuna.TrialPruned
        values = [figures[aim.metric] for aim in self.search.aims]
        return values if self.search.objectives else values[0]

    @property
    def _fractions(self) -> tuple[float, ...]:
        # With several objectives nobody looks at the way there.
        return self.search.fractions[-1:] if self.search.objectives else self.search.fractions

    @property
    def _n_steps(self) -> int:
        return self.search.cv.folds if self.search.cv else len(self._fractions)

    @cached_property
    def _folds(self) -> list[Fold]:
        return draw_folds(self.tables, self.search) if self.search.cv else []

    @cached_property
    def _subsets(self) -> list[np.ndarray]:
        return nested_subsets(self.tables.train_y, self._fractions, self.search.seed)

    def _steps(self, params: dict[str, Any]) -> Iterator[Figures]:
        """Yield what is known after each step."""
        if self.search.cv:
            return self._fold_after_fold(params)
        if self.search.warm_start:
            return self._iterations(params, self.search.warm_start)
        return self._growing_rows(params)

    def _growing_rows(self, params: dict[str, Any]) -> Iterator[Figures]:
        x, y = self.tables.train_x, self.tables.train_y
        for rows in self._subsets:
            model = self.make_model(dict(params))
            model.fit(x.iloc[rows], y.iloc[rows])
            yield self._measure(model, self.tables.validation_x, self.tables.validation_y)

    def _iterations(self, params: dict[str, Any], argument: str) -> Iterator[Figures]:
        model = self.make_model(dict(params))
        counts = {**self.search.fixed, **params}[argument]
        for fraction in self._fractions:
            model = go_on_to(model, argument, math.ceil(counts * fraction))
            model.fit(self.tables.train_x, self.tables.train_y)
            yield self._measure(model, self.tables.validation_x, self.tables.validation_y)

    def _fold_after_fold(self, params: dict[str, Any]) -> Iterator[Figures]:
        x, y = self.tables.train_x, self.tables.train_y
        found: list[Figures] = []
        for rows, held_out in self._folds:
            model = self.make_model(dict(params))
            model.fit(x.iloc[rows], y.iloc[rows])
            found.append(self._measure(model, x.iloc[held_out], y.iloc[held_out]))
            yield {name: sum(one[name] for one in found) / len(found) for name in found[0]}

    def _measure(self, model: Any, x: pd.DataFrame, y: pd.Series) -> Figures:
        import numpy as np

        positive = list(model.classes_).index(1)
        probability = model.predict_proba(x)[:, positive]
        if not np.isfinite(probability).all():
            # A metric would blame the table, and end the study instead of the trial.
            raise ValueError("the model predicts probabilities that are not finite")
        names = [aim.metric for aim in self.search.aims]
        names += [constraint.metric for constraint in self.search.constraints]
        return {name: float(self.score(name, y, probability)) for name in dict.fromkeys(names)}

    def _note(self, trial: optuna.Trial | ClaimedTrial, step: int, figures: Figures) -> None:
        if self.search.constraints:
            excess = [one.excess(figures[one.metric]) for one in self.search.constraints]
            trial.set_user_attr(EXCESS, excess)
            bounded = {one.metric: figures[one.metric] for one in self.search.constraints}
            trial.set_user_attr(BOUNDED, bounded)
        if not self.search.objectives:
            trial.report(figures[self.search.metric], step)


@dataclass(frozen=True, kw_only=True)
class StoredObjective:
    """An objective whose rows lie in a folder: what a worker process gets."""

    make: Callable[..., Objective]
    """Takes ``tables``."""
    folder: Path
    """What `mlflow_ext.tuning.rows.store_tables` has written."""

    def __call__(self, trial: ClaimedTrial) -> float | list[float]:
        """Score one trial; the first one reads the rows."""
        return self._objective(trial)

    @cached_property
    def _objective(self) -> Objective:
        return self.make(tables=load_tables(self.folder))
