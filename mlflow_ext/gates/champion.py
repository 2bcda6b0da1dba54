"""The gate ``champion``: does a challenger hold its own against what is in Production?

Both are asked about the same rows, and the difference is tested, not looked at. Whoever retrains
until luck helps spends an error budget: all attempts on one holdout together may promote a model
that is not good enough with the probability that is stated, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.evaluation.metrics import check_direction, score_of
from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.statistics.paired import Alternative, Claim, Comparison, compare
from mlflow_ext.evaluation.statistics.spending import spend
from mlflow_ext.gates.candidate import Candidate, Opponent
from mlflow_ext.gates.config import config_digest
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT, Direction, Text
from mlflow_ext.records import Check, Verdict


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ChampionGate(Gate):
    """The challenger must not be worse than the champion by more than the margin, or be better."""

    metric: Text
    direction: Direction
    margin: Annotated[float, Field(ge=0)]
    """In the unit of the metric. *non-inferiority*: how much worse still counts as not worse;
    *superiority*: it has to be better by more than this."""
    test: Alternative = "non-inferiority"
    """What has to be shown. A baseline, where there is no champion yet, has to be beaten."""
    budget: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Probability that any of all attempts on one holdout passes without being good enough."""
    key: tuple[str, ...] = ()
    """Columns of the holdout that name a row, for probabilities which were made elsewhere."""

    def __post_init__(self) -> None:
        check_direction(self.metric, self.direction)

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: whether the comparison is fair, then the comparison."""
        challenger = candidate.predictions
        opponent = candidate.opponent or base_rate_opponent(challenger.labels, challenger.rows)
        if opponent.keys is not None and self.key:
            opponent = align(opponent, _keys(candidate, self.key))
        fair = (_check_rows(challenger, opponent), _check_unseen(opponent, challenger.rows))
        yield from fair
        if all(check.verdict is Verdict.PASSED for check in fair):
            attempt = candidate.attempt(self._identity(candidate, opponent))
            yield judge_champion(self, challenger, opponent, attempt)

    def _identity(self, candidate: Candidate, opponent: Opponent) -> str:
        """Name this very comparison: asked again it is no other attempt."""
        said = [candidate.predictions.probability.tobytes().hex(), opponent.name]
        return config_digest([self.configuration(candidate), said])


def base_rate_opponent(labels: Array, rows: int) -> Opponent:
    """Build the opponent of a first version: one base rate, predicted for every row.

    Args:
        labels: Labels that give the rate, 0 or 1; at least one.
        rows: Number of rows that are judged.
    """
    rate = float(np.mean(labels))
    return Opponent(
        name=f"the base rate {rate:.4f}", probability=np.full(rows, rate), is_baseline=True
    )


def align(opponent: Opponent, keys: Array) -> Opponent:
    """Put an opponent's probabilities into the order of *keys*; as they are where they differ.

    Args:
        opponent: With keys of its own.
        keys: What names each of the challenger's rows, shape (rows,).
    """
    theirs = np.asarray(opponent.keys)
    order, sorted_keys = np.argsort(theirs, kind="stable"), np.sort(theirs)
    is_same = np.array_equal(sorted_keys, np.sort(keys))
    if not is_same or len(np.unique(theirs)) < len(theirs):
        return opponent
    probability = opponent.probability[order[np.searchsorted(sorted_keys, keys)]]
    return replace(opponent, probability=probability, keys=None)


def judge_champion(
    gate: ChampionGate, challenger: Predictions, opponent: Opponent, attempt: int = 1
) -> Check:
    """Test the difference between two models on the same rows.

    Args:
        gate: Metric, margin and error budget.
        challenger: Its predictions.
        opponent: The champion's probabilities for the same rows in the same order, or a baseline's.
        attempt: Number of this comparison among all on these rows, from 1.

    Returns:
        *passed* when what has to be shown is shown at the error level that this attempt has of the
        budget; *failed* when the contrary is; else *inconclusive*, with the rows that would settle
        it. Observed is the gain: the difference, counted so that more is better.

    Raises:
        TableError: A probability cannot be used, or the metric needs both classes and finds one.
    """
    rival = Predictions(
        challenger.split, challenger.labels, opponent.probability, challenger.decision_threshold
    )
    values = [score_of(gate.metric, one) for one in (challenger, rival)]
    claim = Claim(
        alternative="superiority" if opponent.is_baseline else gate.test,
        margin=gate.margin,
        alpha=spend(attempt, gate.budget),
    )
    check = Check(
        name=f"{gate.metric} against {opponent.name}",
        verdict=Verdict.INCONCLUSIVE,
        expected=f"gain > {claim.threshold:g} at error level {claim.alpha:.2g}",
        rows=challenger.rows,
        reason=f"challenger {values[0]:.6g}, opponent {values[1]:.6g}; attempt {attempt} on these "
        f"rows, of an error budget of {gate.budget:g}",
    )
    compared = compare(gate.metric, challenger, rival, claim)
    return _conclude(check, compared) if compared else check


def _conclude(check: Check, compared: Comparison) -> Check:
    bounds = (compared.low, compared.high)
    verdict = (
        Verdict.PASSED
        if compared.is_shown
        else Verdict.FAILED
        if compared.is_refuted
        else Verdict.INCONCLUSIVE
    )
    return replace(
        check,
        verdict=verdict,
        observed=compared.difference,
        interval=bounds if all(map(math.isfinite, bounds)) else None,
        rows_needed=compared.rows_needed if verdict is Verdict.INCONCLUSIVE else None,
        reason=f"{check.reason}; {compared.method}, p = {compared.p_value:.3g}",
    )


def _check_rows(challenger: Predictions, opponent: Opponent) -> Check:
    counts = {"challenger": challenger.rows, "opponent": len(opponent.probability)}
    is_same = len(set(counts.values())) == 1
    is_joined = opponent.keys is None
    reason = (
        "values on different rows cannot be compared"
        if not is_same
        else ""
        if is_joined
        else "they could not be joined: name the columns that identify a row as the gate's key"
    )
    return Check(
        name="same_rows",
        verdict=Verdict.PASSED if is_same and is_joined else Verdict.INCONCLUSIVE,
        expected="the same rows for both, in one order",
        observed=counts,
        rows=challenger.rows,
        reason=reason,
    )


def _check_unseen(opponent: Opponent, rows: int) -> Check:
    return Check(
        name="unseen_rows",
        verdict=Verdict.INCONCLUSIVE if opponent.seen else Verdict.PASSED,
        expected=f"no row that {opponent.name} has learned from or was chosen on",
        observed=list(opponent.seen),
        rows=rows,
        reason="it would win by memory; judge on later rows" if opponent.seen else "",
    )


def _keys(candidate: Candidate, columns: tuple[str, ...]) -> Array:
    """Name each row of the holdout: by one column as it is, by several as text."""
    from mlflow_ext.errors import UnknownNameError

    for column in columns:
        if column not in candidate.holdout:
            raise UnknownNameError("key column", column, list(candidate.holdout.columns))
    named = candidate.holdout[list(columns)]
    if len(columns) == 1:
        return named.iloc[:, 0].to_numpy()
    joined: Array = named.astype(str).agg("\x1f".join, axis=1).to_numpy()
    return joined
