"""The gate ``stability``: would the same training on other data, or by other luck, be as good?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.evaluation.metrics import direction, score_of
from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.statistics.spread import standard_deviation, values_to_settle
from mlflow_ext.gates.acceptance import Accepted, judge_estimate
from mlflow_ext.gates.candidate import Candidate, read_labels
from mlflow_ext.gates.interface import Gate
from mlflow_ext.gates.scoring import Question, ask_estimator, find_estimator
from mlflow_ext.project import STRICT, Text
from mlflow_ext.records import Check, Verdict

if TYPE_CHECKING:
    import pandas as pd

RANDOM_STATE = "random_state"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StabilityGate(Gate):
    """A metric must not vary much between refits of the model's estimator.

    The estimator is trained anew, with the parameters of the version, and each refit is measured on
    the holdout. That runs as long as so many trainings take.
    """

    metric: Text
    max_spread: Annotated[float, Field(gt=0)]
    """Largest standard deviation of the metric between refits, in its unit."""
    vary: Literal["rows", "seed"] = "rows"
    """What differs: the rows, drawn with replacement from the training rows, and the seed; or the
    seed alone."""
    refits: Annotated[int, Field(ge=3, le=1000)] = 10
    maximum_rows: Annotated[int, Field(ge=100)] = 50_000
    """Most rows that a refit learns from; fewer than the version had make the spread larger."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the first refit; each further one has the next."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the two-sided interval of the standard deviation."""

    def __post_init__(self) -> None:
        direction(self.metric)

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: one check, skipped where nothing can be trained anew.

        The metric of every refit is left in the candidate's attachments as ``stability``.
        """
        import pandas as pd

        estimator = find_estimator(candidate.model)
        if obstacle := self._find_obstacle(estimator, candidate):
            yield self._skip(obstacle)
            return
        seeds = range(self.seed, self.seed + self.refits)
        values = [self._measure(estimator, candidate, seed) for seed in seeds]
        candidate.attachments["stability"] = pd.DataFrame({"seed": seeds, self.metric: values})
        yield judge_spread(self, np.array(values))

    def _find_obstacle(self, estimator: Any, candidate: Candidate) -> str:
        from sklearn.base import BaseEstimator

        if not isinstance(estimator, BaseEstimator):
            return "the model is not a scikit-learn estimator that gives probabilities"
        if candidate.training is None:
            return "nobody says which rows it has learned from"
        if self.vary == "seed" and not _seeds(estimator, 0):
            return f"the estimator has no parameter '{RANDOM_STATE}'"
        return ""

    def _skip(self, obstacle: str) -> Check:
        return Check(
            name=f"spread_of_{self.metric}",
            verdict=Verdict.SKIPPED,
            expected=str(Accepted(high=self.max_spread)),
            reason=f"{obstacle}, so that it cannot be trained anew",
        )

    def _measure(self, estimator: Any, candidate: Candidate, seed: int) -> float:
        """Train once more and score the holdout."""
        from sklearn.base import clone

        rows = self._draw(candidate, seed)
        refit = clone(estimator).set_params(**_seeds(estimator, seed))
        refit.fit(candidate.select_inputs(rows), rows[candidate.label.column])
        question = Question(candidate.select_inputs(candidate.holdout), candidate.label.positive)
        probability = ask_estimator(refit, candidate.subject.uri, question)
        threshold = candidate.label.decision_threshold
        return score_of(
            self.metric, Predictions("holdout", candidate.labels, probability, threshold)
        )

    def _draw(self, candidate: Candidate, seed: int) -> pd.DataFrame:
        training = cast("pd.DataFrame", candidate.training)
        labels = read_labels("training", training, candidate.label)
        is_anew = self.vary == "rows"
        random = np.random.default_rng(seed if is_anew else self.seed)
        return training.iloc[draw_rows(labels, self.maximum_rows, is_anew, random)]


def judge_spread(gate: StabilityGate, values: Array) -> Check:
    """Compare the standard deviation of a metric between refits with the largest accepted.

    Args:
        gate: The limit.
        values: Shape (refits,): the metric of each.

    Returns:
        *inconclusive*, with the refits that would settle it in its reason, where the interval holds
        the limit, or the metric is undefined for a refit.
    """
    spread = standard_deviation(values, gate.level)
    name = f"spread_of_{gate.metric}"
    check = judge_estimate(name, spread, Accepted(high=gate.max_spread))
    if not math.isfinite(spread.value):
        reason = f"{gate.metric} is undefined for {np.isnan(values).sum()} of {len(values)} refits"
        return replace(check, rows=None, reason=reason)
    reason = f"{len(values)} refits, from {values.min():.6g} to {values.max():.6g}"
    if check.verdict is Verdict.INCONCLUSIVE:
        further = values_to_settle(spread, gate.max_spread, gate.level)
        reason += f"; about {further} more would settle it" if further else ""
    # Refits are no rows, neither those there are nor those that are missing.
    return replace(check, rows=None, rows_needed=None, reason=reason)


def draw_rows(
    labels: Array, maximum_rows: int, is_anew: bool, random: np.random.Generator
) -> Array:
    """Draw rows class by class, so that none vanishes.

    Args:
        labels: Shape (rows,), 0 or 1.
        maximum_rows: Most rows that are drawn; the share of each class stays as it is.
        is_anew: True: with replacement, as many as there are; False: each once at most.
        random: Source of luck.

    Returns:
        Positions in *labels*, in ascending order.
    """
    share = min(1.0, maximum_rows / len(labels))
    drawn = [
        random.choice(rows, max(1, round(share * len(rows))), replace=is_anew)
        for rows in (np.flatnonzero(labels == label) for label in (0, 1))
        if len(rows)
    ]
    return np.sort(np.concatenate(drawn))


def _seeds(estimator: Any, seed: int) -> dict[str, int]:
    """Every parameter that seeds the estimator, or a part of it."""
    names = estimator.get_params()
    return {name: seed for name in names if name.split("__")[-1] == RANDOM_STATE}
