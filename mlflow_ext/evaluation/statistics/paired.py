"""Two models on the same rows: is one better than the other, or at least not worse?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from mlflow_ext.errors import TableError
from mlflow_ext.evaluation.metrics import direction, has_classes_for, score_of
from mlflow_ext.evaluation.predictions import TABLE, Array, Predictions
from mlflow_ext.evaluation.statistics.areas import measure_areas, placements
from mlflow_ext.evaluation.statistics.power import rows_to_settle
from mlflow_ext.evaluation.statistics.resampling import FEWEST, fewest_rows, resample

Alternative = Literal["non-inferiority", "superiority"]
DRAWS = 10_000
MOST_DRAWS = 200_000


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a comparison is to show about the gain of a challenger over its opponent.

    Raises:
        ValueError: The margin is negative, or *alpha* is not in (0, 0.5).
    """

    alternative: Alternative = "non-inferiority"
    """Not worse by the margin or more, or better by more than the margin."""
    margin: float = 0.0
    """In the unit of the metric, at least 0."""
    alpha: float = 0.05
    """How likely the claim may seem shown although it is false; one-sided."""

    def __post_init__(self) -> None:
        if self.margin < 0 or not 0 < self.alpha < 0.5:
            raise ValueError(f"expected margin >= 0 and 0 < alpha < 0.5, found {self}")

    @property
    def threshold(self) -> float:
        """What the gain has to exceed."""
        return self.margin if self.alternative == "superiority" else -self.margin


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a challenger compares with its opponent."""

    claim: Claim
    difference: float
    """The challenger's gain: counted so that more is better, in the unit of the metric."""
    low: float
    """The gain is above this, with an error of *alpha*; minus infinity if nothing is known."""
    high: float
    """The gain is below this, with an error of *alpha*."""
    p_value: float
    """How likely so large a gain is if the claim is just false; one-sided."""
    method: str
    """The test and the interval, e.g. ``DeLong``."""
    rows_needed: int | None
    """Further rows that would settle it, if the difference stays; 0 if settled; None: never."""

    @property
    def is_shown(self) -> bool:
        """True when the claim is shown: the low bound exceeds the threshold, and p is < alpha."""
        return self.low > self.claim.threshold

    @property
    def is_refuted(self) -> bool:
        """True when the opposite is: the high bound is below the threshold."""
        return self.high < self.claim.threshold


@dataclass(frozen=True)
class _Finding:
    difference: float
    low: float
    high: float
    p_value: float
    method: str


def compare(
    metric: str, challenger: Predictions, opponent: Predictions, claim: Claim, seed: int = 0
) -> Comparison | None:
    """Compare two models row by row, by the test that fits the metric.

    * ``accuracy`` and ``recall``: the exact test of McNemar if the margin is 0, else Tango's score
      test, which allows for a margin (see `mcnemar`, `tango`);
    * ``roc_auc``: DeLong's test, from the variance of the difference of both areas;
    * the others: the paired bootstrap, with at least `DRAWS` draws and ten per *alpha*.

    Each test and its bounds are one and the same: the low bound exceeds the threshold exactly when
    the p-value is below *alpha*. Models that agree on every row that matters, though not in every
    probability, still may differ on rows not seen: their bounds are Tango's without a discordant
    row, about z² / rows to each side. Only identical probabilities have a difference of exactly 0.

    Args:
        metric: A name in `mlflow_ext.evaluation.metrics.METRICS`.
        challenger: Predictions of the model that is to prove itself.
        opponent: Predictions of the other one for the same rows, in the same order.
        claim: What is to be shown.
        seed: Of the bootstrap; the same seed gives the same comparison.

    Returns:
        The comparison; None where the rows cannot say: the metric is undefined for one of them, or
        a bootstrap or standard error would rest on fewer than `FEWEST` rows (see `fewest_rows`).

    Raises:
        UnknownNameError: There is no such metric.
        TableError: The labels of both are not the same.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44:837-845; Efron & Tibshirani
    (1993), An Introduction to the Bootstrap, section 16.4; Davison & Hinkley (1997), Bootstrap
    Methods and their Application, section 4.2 (the p-value).
    """
    if not np.array_equal(challenger.labels, opponent.labels):
        rows = f"labels of {challenger.rows} and of {opponent.rows} rows that differ"
        raise TableError(TABLE, rows, "the same rows in the same order", "join them by a key")
    found = _find_out(metric, challenger, opponent, claim, seed)
    if found is None:
        return None
    end = found.low if found.difference > claim.threshold else found.high
    return Comparison(
        claim=claim,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        method=found.method,
        rows_needed=rows_to_settle(challenger.rows, found.difference, end, claim.threshold),
    )


def mcnemar(gained: Array | int, lost: Array | int) -> Array:
    """Test exactly whether the challenger is right more often than its opponent.

    Rows on which both are right, or both wrong, say nothing about that; of the others, either
    would win half if they were equally good.

    Args:
        gained: Rows on which only the challenger is right; a number, or an array.
        lost: Rows on which only the opponent is right; of the same shape.

    Returns:
        One-sided p-value: that of at least so many gains among so many discordant rows.

    Source: McNemar (1947), Psychometrika 12:153-157; exact as in Fay (2010), The R Journal 2:53-58.

    >>> mcnemar(5, 0).item()
    0.03125
    """
    from scipy.special import bdtrc

    gained, lost = np.asarray(gained), np.asarray(lost)
    return np.asarray(bdtrc(gained - 1.0, gained + lost, 0.5))


def mcnemar_bounds(gained: int, lost: int, rows: int, alpha: float) -> tuple[float, float]:
    """Bound the difference of two proportions from below and from above, each with error *alpha*.

    Given the number of discordant rows, at least 1: the exact bounds for the share of gains among
    them. The low one is above 0 exactly when `mcnemar` says p < alpha.

    Source: Clopper & Pearson (1934), Biometrika 26:404-413; scaled as in method 5 of Newcombe
    (1998), Statistics in Medicine 17:2635-2650.
    """
    from scipy.special import betaincinv

    low = betaincinv(gained, lost + 1, alpha) if gained else 0.0
    high = betaincinv(gained + 1, lost, 1 - alpha) if lost else 1.0
    discordant = (gained + lost) / rows
    return float((2 * low - 1) * discordant), float((2 * high - 1) * discordant)


def tango(gained: int, lost: int, rows: int, difference: float) -> float:
    """Compute the score statistic of paired proportions that truly have a *difference*.

    Args:
        gained: Rows on which only the challenger is right.
        lost: Rows on which only the opponent is right.
        rows: All of them.
        difference: What the true gain is supposed to be, in (-1, 1).

    Returns:
        How far the observed gain lies above it, in standard errors under that supposition.

    Source: Tango (1998), Statistics in Medicine 17:891-908.

    >>> round(tango(30, 20, 1000, 0.0), 4), round(10 / 50**0.5, 4)
    (1.4142, 1.4142)
    """
    linear = (2 * rows - gained + lost) * difference - gained - lost
    constant = -lost * difference * (1 - difference)
    # The most likely share of losses under that difference.
    losses = (math.sqrt(max(linear**2 - 8 * rows * constant, 0)) - linear) / (4 * rows)
    variance = rows * (2 * losses + difference * (1 - difference))
    excess = gained - lost - rows * difference
    return excess / math.sqrt(variance) if variance > 0 else 0.0


def tango_bounds(gained: int, lost: int, rows: int, alpha: float) -> tuple[float, float]:
    """Bound the difference of two proportions from below and from above, each with error *alpha*.

    Source: as `tango`, whose test they invert.
    """
    from scipy.optimize import brentq

    edge, z = 1 - 1e-9, NormalDist().inv_cdf(1 - alpha)
    observed = min(max((gained - lost) / rows, -edge), edge)

    def bound(end: float) -> float:
        def excess(difference: float) -> float:
            return tango(gained, lost, rows, difference) + math.copysign(z, end)

        crosses = excess(end) * excess(observed) < 0
        return float(brentq(excess, observed, end, xtol=1e-12)) if crosses else end

    return bound(-edge), bound(edge)


def _find_out(
    metric: str, challenger: Predictions, opponent: Predictions, claim: Claim, seed: int
) -> _Finding | None:
    if not has_classes_for(metric, challenger):
        return None
    gain = _sign(metric) * (score_of(metric, challenger) - score_of(metric, opponent))
    if math.isnan(gain):
        return None
    if _is_identical(challenger, opponent):
        return _Finding(0.0, 0.0, 0.0, float(claim.threshold >= 0), "identical predictions")
    if metric in ("accuracy", "recall"):
        counted = (challenger.labels == 1) | (metric == "accuracy")
        return _compare_decisions(challenger.take(counted), opponent.take(counted), claim)
    fewest = min(fewest_rows(metric, model) for model in (challenger, opponent))
    if fewest < FEWEST:
        return None
    if metric == "roc_auc":
        found = _compare_areas(challenger, opponent, claim)
    else:
        draws = min(max(DRAWS, math.ceil(10 / claim.alpha)), MOST_DRAWS)
        drawn = resample(metric, challenger, opponent, draws=draws, seed=seed)
        found = _compare_draws(gain, _sign(metric) * drawn, claim)
    return found or _test_by_tango(0, 0, fewest, claim)


def _sign(metric: str) -> int:
    return 1 if direction(metric) == "maximize" else -1


def _is_identical(challenger: Predictions, opponent: Predictions) -> bool:
    return challenger.decision_threshold == opponent.decision_threshold and np.array_equal(
        challenger.probability, opponent.probability
    )


def _compare_decisions(challenger: Predictions, opponent: Predictions, claim: Claim) -> _Finding:
    won, had = (model.decisions == model.labels for model in (challenger, opponent))
    gained, lost, rows = int((won & ~had).sum()), int((had & ~won).sum()), challenger.rows
    if claim.threshold or not gained + lost:
        return _test_by_tango(gained, lost, rows, claim)
    bounds = mcnemar_bounds(gained, lost, rows, claim.alpha)
    p_value = float(mcnemar(gained, lost))
    return _Finding((gained - lost) / rows, *bounds, p_value, "exact McNemar")


def _test_by_tango(gained: int, lost: int, rows: int, claim: Claim) -> _Finding:
    p_value = NormalDist().cdf(-tango(gained, lost, rows, claim.threshold))
    bounds = tango_bounds(gained, lost, rows, claim.alpha)
    return _Finding((gained - lost) / rows, *bounds, p_value, "Tango score")


def _compare_areas(challenger: Predictions, opponent: Predictions, claim: Claim) -> _Finding | None:
    """DeLong's test; None where every row says that the areas are equal."""
    placed = placements(challenger) - placements(opponent)
    areas = measure_areas(placed, challenger.labels)
    difference, error = float(areas.value[0]), math.sqrt(areas.variance[0])
    if error == 0:
        return None
    reach = NormalDist().inv_cdf(1 - claim.alpha) * error
    p_value = NormalDist().cdf((claim.threshold - difference) / error)
    return _Finding(difference, difference - reach, difference + reach, p_value, "DeLong")


def _compare_draws(gain: float, drawn: Array, claim: Claim) -> _Finding | None:
    """Percentile bounds: order statistics, which agree with the p-value; None if all are equal."""
    drawn = np.sort(drawn[~np.isnan(drawn)])
    if drawn[0] == drawn[-1]:
        return None
    not_better = int(np.searchsorted(drawn, claim.threshold, side="right"))
    p_value = (1 + not_better) / (1 + len(drawn))
    place = math.ceil(claim.alpha * (1 + len(drawn))) - 1
    bounds = (float(drawn[place - 1]), float(drawn[-place])) if place else (-math.inf, math.inf)
    return _Finding(gain, *bounds, p_value, f"paired bootstrap, {len(drawn):,} draws")
