"""The bootstrap: metrics on rows drawn anew with replacement, without scoring every draw again.

What the ordinary bootstrap of rows needs from a draw is how often each row occurs. Ratios of counts
need it for whole cells of rows, means of losses almost so, and metrics of the order need one sort
of the rows, and then sums of counts along it. Both models of a pair meet the same draws, so that
what is hard or easy for both cancels out.

Rows are not drawn class by class: how many positives there are is part of the luck that a metric
depends on. A draw on which it is undefined, since a class has vanished, is NaN.

Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters 6 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

from mlflow_ext.evaluation.metrics import BINS, find_metric, has_classes_for, score_of
from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.evaluation.statistics.confusion import RATIOS, Confusion, count_confusion, ratio
from mlflow_ext.evaluation.statistics.losses import LOSSES

FEWEST = 10  # rows below which neither resampling nor large-sample theory says anything
CELLS = 128  # of losses; the error they make is at most 1 / CELLS of the range, and compensated
BLOCK = 2**17  # counts held at once: what a processor's cache holds

Statistic = Callable[[Array], Array]
"""Counts of shape (draws, rows) -> the metric of each draw."""


def fewest_rows(metric: str, predictions: Predictions) -> int:
    """Count the rows that the value of a metric rests on: what there is fewest of among them.

    All rows; for a metric that needs both classes, those of the rarer one; for a ratio, those that
    it is taken of; for ``ece``, those of one bin. Below `FEWEST`, neither resampling nor a standard
    error can be relied on.

    Raises:
        UnknownNameError: There is no such metric.
    """
    counts = count_confusion(predictions)
    needed = [counts.rows]
    if find_metric(metric).needs_both_classes:
        needed += [counts.positives, counts.negatives]
    if metric in RATIOS:
        needed += [RATIOS[metric](counts)[1]]
    if metric == "ece":
        needed += [counts.rows // BINS]
    return min(int(rows[0]) for rows in needed)


def resample(
    metric: str,
    first: Predictions,
    second: Predictions | None = None,
    *,
    draws: int,
    seed: int = 0,
) -> Array:
    """Compute a metric on rows drawn anew.

    ``ece`` grows with every draw, as any noise adds to it; its draws are reflected at the observed
    value, so that their quantiles are bounds as those of the others are (basic bootstrap).

    Args:
        metric: A name in `METRICS`.
        first: Predictions of a model.
        second: Those of another for the same rows; the metric is then first minus second.
        draws: How often as many rows are drawn as there are.
        seed: The same seed gives the same values.

    Returns:
        Shape (draws,), in the unit of the metric; NaN where it is undefined.

    Source: for the reflection, Davison & Hinkley (1997), Bootstrap Methods and their Application,
    section 5.2.1.
    """
    random = np.random.default_rng(seed)
    models = (first,) if second is None else (first, second)
    if metric in LOSSES:
        losses = [LOSSES[metric](model) for model in models]
        return _draw_means(_contrast(losses), draws, random)
    if metric in RATIOS:
        return _draw_ratios(metric, models, draws, random)
    found = _draw_scores(metric, models, draws, random)
    if metric in BIASED:
        return 2 * _contrast([np.asarray(score_of(metric, model)) for model in models]) - found
    return found


def _contrast(values: list[Array]) -> Array:
    return values[0] if len(values) == 1 else np.asarray(values[0] - values[1])


def _draw_means(values: Array, draws: int, random: np.random.Generator) -> Array:
    """Means of *values* drawn anew.

    Values are counted in cells of equal width. What they differ by inside a cell is drawn from the
    normal distribution with the variance that as many of them have: so many small terms that
    nothing else is left of them, and mean and variance are those of the bootstrap exactly.
    """
    low, width = values.min(), np.ptp(values) / CELLS
    if width == 0:
        return np.full(draws, low)
    cell = np.minimum((values - low) / width, CELLS - 1).astype(int)
    used, cell, rows = np.unique(cell, return_inverse=True, return_counts=True)
    mean = np.bincount(cell, values) / rows
    variance = np.bincount(cell, np.square(values - mean[cell])) / rows
    found = []
    for size in _blocks(draws, len(used)):
        drawn = random.multinomial(len(values), rows / len(values), size)
        inside = np.sqrt(drawn @ variance) * random.standard_normal(size)
        found.append((drawn @ mean + inside) / len(values))
    return np.concatenate(found)


def _draw_ratios(
    metric: str, models: tuple[Predictions, ...], draws: int, random: np.random.Generator
) -> Array:
    """Ratios of counts: only label and decisions matter, and of those there are few patterns."""
    pattern = models[0].labels.astype(int)
    for model in models:
        pattern = 2 * pattern + model.decisions
    rows = np.bincount(pattern, minlength=2 ** (len(models) + 1))
    drawn = random.multinomial(models[0].rows, rows / models[0].rows, draws)
    # One axis for the label and one for the decision of each model.
    cells = drawn.reshape(draws, 2, *[2] * len(models))
    first = cells if len(models) == 1 else cells.sum(axis=3)
    counts = [first, *[cells.sum(axis=2)] * (len(models) - 1)]
    return _contrast([ratio(metric, Confusion(*c.reshape(draws, 4).T)) for c in counts])


def _draw_scores(
    metric: str, models: tuple[Predictions, ...], draws: int, random: np.random.Generator
) -> Array:
    # Sorted by one model, which leaves less to be put in order at every draw.
    order = np.argsort(models[0].probability)
    statistics = [_statistic(metric, model.take(order)) for model in models]
    blocks = _counts(len(order), draws, random)
    return np.concatenate([_contrast([of(counts) for of in statistics]) for counts in blocks])


def _counts(rows: int, draws: int, random: np.random.Generator) -> Iterator[Array]:
    """How often each row is drawn, in blocks of shape (some draws, rows)."""
    for size in _blocks(draws, rows):
        drawn = random.integers(0, rows, (size, rows), dtype=np.int32).astype(np.int64)
        drawn += rows * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)


def _blocks(draws: int, width: int) -> Iterator[int]:
    """Cut *draws* into pieces that hold about `BLOCK` counts of *width* each."""
    size = max(1, BLOCK // width)
    for start in range(0, draws, size):
        yield min(size, draws - start)


def _average_precision(predictions: Predictions) -> Statistic:
    order = np.argsort(-predictions.probability, kind="stable")
    falling = -predictions.probability[order]
    positives = np.flatnonzero(predictions.labels[order] == 1)
    # Equal probabilities are selected together: what counts is where their run ends.
    ends = np.searchsorted(falling, falling[positives], side="right") - 1
    last_hits = np.searchsorted(positives, ends, side="right") - 1

    def of(counts: Array) -> Array:
        counts = np.take(counts, order, axis=1)
        mine = np.take(counts, positives, axis=1)
        hits = np.cumsum(mine, axis=1)
        selected = np.take(np.cumsum(counts, axis=1), ends, axis=1)
        precision = np.take(hits, last_hits, axis=1) / np.maximum(selected, 1)
        with np.errstate(invalid="ignore"):
            return np.asarray((mine * precision).sum(axis=1) / hits[:, -1])

    return of


def _expected_calibration_error(predictions: Predictions) -> Statistic:
    """The bins of `mlflow_ext.evaluation.metrics.reliability`, cut anew in every draw."""
    rows = predictions.rows
    order = np.argsort(predictions.probability)
    probability = predictions.probability[order]
    run_starts = np.searchsorted(probability, probability)
    gap = probability - predictions.labels[order]
    # Rounded, as an edge that falls on a row must not miss it by what floats lose.
    edge_ranks = np.ceil(np.round((rows - 1) * np.linspace(0, 1, BINS + 1)[1:-1], 9)).astype(int)

    def of(counts: Array) -> Array:
        counts = np.take(counts, order, axis=1)
        # All draws one after the other, so that one search finds the edges of each.
        first = rows * np.arange(len(counts))[:, None]
        found = np.searchsorted(np.cumsum(counts), first + edge_ranks, side="right")
        starts = np.concatenate([first, first + run_starts[found % rows]], axis=1).ravel()
        gaps = np.add.reduceat((counts * gap).ravel(), starts)
        gaps[np.diff(starts, append=counts.size) == 0] = 0
        return np.asarray(np.abs(gaps).reshape(len(counts), BINS).sum(axis=1) / rows)

    return of


def _statistic(metric: str, predictions: Predictions) -> Statistic:
    """The quick form of *metric*, or one that scores the rows of every draw."""
    if metric in ORDERED:
        return ORDERED[metric](predictions)
    every = np.arange(predictions.rows)

    def of(counts: Array) -> Array:
        drawn = (predictions.take(np.repeat(every, times)) for times in counts)
        return np.array(
            [score_of(metric, one) if has_classes_for(metric, one) else np.nan for one in drawn]
        )

    return of


ORDERED: Mapping[str, Callable[[Predictions], Statistic]] = MappingProxyType(
    {"average_precision": _average_precision, "ece": _expected_calibration_error}
)
BIASED = ("ece",)
