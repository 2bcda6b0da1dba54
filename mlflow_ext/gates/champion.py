"""The gate ``champion``: is a challenger not worse than what is in Production, on one holdout?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from mlflow_ext.evaluation.metrics import check_direction, reaches, score_of
from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.uncertainty import difference_interval
from mlflow_ext.gates.config import config_digest
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.project import ChampionGate
from mlflow_ext.records import Check, GateReport, Verdict


@dataclass(frozen=True, eq=False, kw_only=True)
class Opponent:
    """What the challenger has to measure up to."""

    name: str
    """``models:/NAME/VERSION`` of the champion, or what stands in for it."""
    probability: Array
    """Its probabilities for the challenger's rows, in their order; shape (rows,), in [0, 1]."""
    seen: tuple[str, ...] = ()
    """Parts of these rows that it has learned from or was chosen on, e.g. months; best if none."""
    is_baseline: bool = False
    """True when no version is in Production and a naive rule stands in: it has to be beaten."""


def base_rate_opponent(training_labels: Array, rows: int) -> Opponent:
    """Build the opponent of a first version: the training base rate, predicted for every row.

    Args:
        training_labels: Labels the challenger was trained on, 0 or 1; at least one.
        rows: Number of rows that are judged.
    """
    rate = float(np.mean(training_labels))
    return Opponent(
        name=f"the base rate {rate:.4f}", probability=np.full(rows, rate), is_baseline=True
    )


def judge_champion(
    config: ChampionGate, challenger: Predictions, opponent: Opponent, subject: GateSubject
) -> GateReport:
    """Compare a challenger with its opponent on the same rows.

    The verdict is about the point difference, counted so that more is better: a champion may be
    missed by at most the tolerance, the baseline has to be beaten by more than the tolerance. The
    interval is reported and does not decide.

    Args:
        config: Metric, direction and tolerance.
        challenger: Its predictions for the rows of *subject*.
        opponent: The champion's probabilities for them, or a baseline's.
        subject: The challenger's version and the rows.

    Returns:
        The checks ``same_rows`` and ``unseen_rows``, and one of the metric: observed is challenger
        minus opponent, in the unit of the metric. Inconclusive when the rows differ, when the
        opponent has seen some of them before, or when a value is undefined.

    Raises:
        UnknownNameError: There is no such metric.
        DirectionError: The configured direction is not the metric's own.
        TableError: A probability cannot be used, or the metric needs both classes and finds one.
    """
    check_direction(config.metric, config.direction)
    fair = (_check_rows(challenger, opponent, subject), _check_unseen(opponent, subject))
    is_fair = all(check.verdict is Verdict.PASSED for check in fair)
    compared = (_compare(config, challenger, opponent),) if is_fair else ()
    return GateReport(
        gate="champion",
        subject=subject.uri,
        checks=(*fair, *compared),
        fingerprints=subject.fingerprints,
        config_digest=config_digest(asdict(config)),
        created_ms=subject.created_ms,
    )


def _check_rows(challenger: Predictions, opponent: Opponent, subject: GateSubject) -> Check:
    counts = {"challenger": challenger.rows, "opponent": len(opponent.probability)}
    is_same = set(counts.values()) == {subject.rows}
    return Check(
        name="same_rows",
        verdict=Verdict.PASSED if is_same else Verdict.INCONCLUSIVE,
        expected=f"{subject.rows} rows for both",
        observed=counts,
        rows=subject.rows,
        reason="" if is_same else "values on different rows cannot be compared",
    )


def _check_unseen(opponent: Opponent, subject: GateSubject) -> Check:
    return Check(
        name="unseen_rows",
        verdict=Verdict.INCONCLUSIVE if opponent.seen else Verdict.PASSED,
        expected=f"no row that {opponent.name} has learned from or was chosen on",
        observed=list(opponent.seen),
        rows=subject.rows,
        reason="it would win by memory; judge on later rows" if opponent.seen else "",
    )


def _compare(config: ChampionGate, challenger: Predictions, opponent: Opponent) -> Check:
    rival = Predictions(
        challenger.split, challenger.labels, opponent.probability, challenger.decision_threshold
    )
    value, rival_value = (score_of(config.metric, one) for one in (challenger, rival))
    difference = value - rival_value
    is_defined = math.isfinite(difference)
    return Check(
        name=f"{config.metric} against {opponent.name}",
        verdict=_judge(config, opponent, difference),
        expected=_expected(config, opponent),
        observed=difference if is_defined else None,
        interval=difference_interval(config.metric, challenger, rival) if is_defined else None,
        rows=challenger.rows,
        reason=f"challenger {value:.6g}, opponent {rival_value:.6g}",
    )


def _judge(config: ChampionGate, opponent: Opponent, difference: float) -> Verdict:
    if not math.isfinite(difference):
        return Verdict.INCONCLUSIVE
    gain = difference if config.direction == "maximize" else -difference
    is_good = (
        not reaches(gain, config.tolerance, "minimize")
        if opponent.is_baseline
        else reaches(gain, -config.tolerance, "maximize")
    )
    return Verdict.PASSED if is_good else Verdict.FAILED


def _expected(config: ChampionGate, opponent: Opponent) -> str:
    """The rule in words, in the unit and sign of the difference."""
    sign = 1 if config.direction == "maximize" else -1
    better = ">" if sign > 0 else "<"
    if opponent.is_baseline:
        return f"difference {better} {sign * config.tolerance:g}"
    return f"difference {better}= {-sign * config.tolerance:g}"
