"""How sure one can be of a metric: a confidence interval by the method that fits it."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.statistics.areas import Areas, measure_areas, placements
from mlflow_ext.evaluation.statistics.confusion import (
    PROPORTIONS,
    RATIOS,
    Confusion,
    count_confusion,
)
from mlflow_ext.evaluation.statistics.resampling import FEWEST, fewest_rows, resample

LEVEL = 0.95
RESAMPLES = 2_000


def z_score(level: float) -> float:
    """Return how many standard errors a two-sided interval of *level* reaches to each side.

    >>> round(z_score(0.95), 2)
    1.96
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: Array | float, rows: Array | float, level: float = LEVEL) -> Array:
    """Compute the score interval of a proportion.

    It keeps its level for few rows and for proportions near 0 and 1, where it never has zero
    width; without rows it is (0, 1).

    Args:
        successes: In [0, *rows*]; a number, or an array of shape (groups,).
        rows: Of the same shape.
        level: In (0, 1).

    Returns:
        Low and high in [0, 1]; shape (2,) or (2, groups).

    Source: Wilson (1927), Journal of the American Statistical Association 22:209-212.

    >>> wilson(8, 10).round(4).tolist()
    [0.4902, 0.9433]
    """
    successes, rows = np.asarray(successes, dtype=float), np.asarray(rows, dtype=float)
    square = z_score(level) ** 2
    middle = successes + square / 2
    reach = np.sqrt(square * (successes * (rows - successes) / np.maximum(rows, 1) + square / 4))
    ends = np.stack([middle - reach, middle + reach]) / (rows + square)
    return np.asarray(np.clip(ends, 0, 1))


def ratio_interval(metric: str, counts: Confusion, level: float = LEVEL) -> Array:
    """Compute the interval of a metric of `RATIOS` in each group.

    Args:
        metric: A name in `RATIOS`.
        counts: Of shape (groups,).
        level: In (0, 1).

    Returns:
        Low and high, shape (2, groups); NaN where the ratio is undefined.
    """
    if metric == "f1":
        union = counts.rows - counts.true_negatives
        share = np.where(union == 0, np.nan, wilson(counts.true_positives, union, level))
        return np.asarray(2 * share / (1 + share))
    successes, rows = PROPORTIONS[metric](counts)
    return np.where(rows == 0, np.nan, wilson(successes, rows, level))


def area_interval(areas: Areas, level: float = LEVEL) -> Array:
    """Compute the interval of ROC AUC in each group.

    DeLong's standard error on the logit scale, so that the interval stays inside [0, 1]. Where
    that theory is silent (fewer than `FEWEST` rows of a class, or a variance of zero, as at an
    area of exactly 1), rows are thought of as paired off, each positive with a negative of its
    own. The area is then a share of that many independent pairs; using all pairs, as the area
    does, varies less, so that `wilson` for the pairs is an honest, rather too wide interval.

    Args:
        areas: Of shape (groups,).
        level: In (0, 1).

    Returns:
        Low and high, shape (2, groups); NaN where a group holds one class.

    Source: Pepe (2003), The Statistical Evaluation of Medical Tests, section 5.2.4 (logit); that
    all pairs vary less than pairs of their own: Hoeffding (1948), Annals of Mathematical
    Statistics 19:293-325.
    """
    pairs = np.minimum(areas.positives, areas.negatives)
    cautious = np.where(pairs == 0, np.nan, wilson(areas.value * pairs, pairs, level))
    with np.errstate(invalid="ignore", divide="ignore"):
        logit = np.log(areas.value / (1 - areas.value))
        reach = z_score(level) * np.sqrt(areas.variance) / (areas.value * (1 - areas.value))
        usual = 1 / (1 + np.exp(-np.stack([logit - reach, logit + reach])))
    return np.where((pairs >= FEWEST) & (areas.variance > 0), usual, cautious)


def interval(
    metric: str,
    predictions: Predictions,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Compute a confidence interval of *metric*.

    `wilson` for proportions, DeLong for ``roc_auc`` (see `area_interval`), and for the rest the
    percentiles of the bootstrap (see `resample`). ``f1`` is 2 J / (1 + J), where J is the
    proportion of true positives among the rows that are positive or selected: `wilson`, too.

    Args:
        metric: A name in `mlflow_ext.evaluation.metrics.METRICS`, or in
            `mlflow_ext.evaluation.statistics.confusion.PROPORTIONS`.
        predictions: The rows.
        level: In (0, 1), two-sided.
        resamples: How often the bootstrap draws.
        seed: Of the bootstrap; the same seed gives the same interval.

    Returns:
        Low and high, in the unit of the metric. None where the rows cannot say: the metric is
        undefined on them; or it is resampled and they are too few (`fewest_rows`), or all draws
        are equal, as for a perfect ranking, which proves no certainty.

    Raises:
        UnknownNameError: There is no such metric.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    if metric in RATIOS:
        low, high = ratio_interval(metric, count_confusion(predictions), level)[:, 0]
    elif metric == "roc_auc":
        areas = measure_areas(placements(predictions), predictions.labels)
        low, high = area_interval(areas, level)[:, 0]
    elif fewest_rows(metric, predictions) >= FEWEST:
        drawn = resample(metric, predictions, draws=resamples, seed=seed)
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    else:
        return None
    return (max(float(low), 0.0), float(high)) if low < high else None
