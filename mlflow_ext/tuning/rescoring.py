"""No winner's curse: the best trials once more, on rows the search never saw, with other seeds.

The best of many trials is the best partly by luck with its validation rows and its seed, so its
value promises too much, and the more trials, the more. Here the best few are fitted again and
scored on fresh rows; the winner, and the figure that is promised, come from those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_ext.data.fingerprint import fingerprint_table
from mlflow_ext.errors import MlflowExtError, SearchError
from mlflow_ext.evaluation.metrics import find_metric, score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.intervals import LEVEL, interval
from mlflow_ext.tuning.attributes import ROWS
from mlflow_ext.tuning.leaderboard import is_maximized, usable_trials
from mlflow_ext.tuning.rescored import Rescored, RescoredTrial

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mlflow_ext.project import Constraint, Search
    from mlflow_ext.tuning.rows import Tables

SEED_NAME = "random_state"


@dataclass(frozen=True, kw_only=True)
class Rescoring:
    """How the best trials are scored again."""

    make_model: Callable[[dict[str, Any]], Any]
    """Parameters -> a classifier with ``fit`` and ``predict_proba``, not fitted."""
    tables: Tables
    """The training rows of the search, and as validation rows such as it never saw."""
    metric: str
    """The first metric of the search, a name in `mlflow_ext.evaluation.metrics.METRICS`."""
    constraints: tuple[Constraint, ...] = ()
    """Bounds that the winner must keep on the fresh rows too, if any of the best does."""
    decision_threshold: float = 0.5
    """Probability from which the positive class is predicted."""
    top: int = 5
    """How many trials are fitted again, at least 1."""
    refits: int = 3
    """Fits of each, with a seed of its own; one where an estimator takes no seed."""
    seed: int = 0
    """The seeds of the fits are drawn from it."""
    level: float = LEVEL
    """Confidence of the intervals of all trials together, in (0, 1)."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much the seed of a fit changes a metric."""

    deviation: float
    """Standard deviation, in the unit of the metric."""
    degrees: int
    """Degrees of freedom of its estimate; 0 where nothing was estimated."""


@dataclass(frozen=True, kw_only=True)
class _Refit:
    """What the fits of one trial say of the fresh rows."""

    trial: FrozenTrial
    rescoring: Rescoring
    models: list[Predictions] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    error: str = ""

    @cached_property
    def values(self) -> list[float]:
        return [score_of(self.rescoring.metric, one) for one in self.models]

    @property
    def excess(self) -> tuple[float, ...]:
        """By how much the models miss each constraint, on average."""
        return tuple(
            float(np.mean([bound.excess(score_of(bound.metric, one)) for one in self.models]))
            for bound in self.rescoring.constraints
            if self.models
        )


def rescore(study: optuna.Study, rescoring: Rescoring) -> Rescored:
    """Fit the best trials of *study* again, with other seeds, and score them on fresh rows.

    Args:
        study: A study of which at least one trial completed.
        rescoring: How.

    Returns:
        The fresh values, the winner among them, and the optimism of the search.

    Raises:
        SearchError: The fresh rows are some that the search has seen, no trial completed, or none
            could be fitted again.
        TableError: The fresh rows do not hold what the metric needs.
        UnknownNameError: There is no such metric.
    """
    _check_fresh(study, rescoring.tables)
    best = _best_few(study, rescoring.top)
    # Whichever of them is chosen for its value, its interval still holds.
    each = 1 - (1 - rescoring.level) / max(1, len(best))
    refits = [_refit(trial, rescoring) for trial in best]
    spread = pool_spread([refit.values for refit in refits])
    trials = tuple(_conclude(refit, each, spread) for refit in refits)
    scored = [trial for trial in trials if trial.fresh_value is not None]
    if not scored:
        raise _nothing_scored(study, trials)
    sign = 1 if is_maximized(study)[0] else -1
    first = trials[0]
    gap = None if first.fresh_value is None else first.search_value - first.fresh_value
    return Rescored(
        metric=rescoring.metric,
        rows=len(rescoring.tables.validation_y),
        level=rescoring.level,
        trials=trials,
        winner=max(scored, key=lambda one: (one.is_allowed, sign * (one.fresh_value or 0.0))),
        optimism=None if gap is None else sign * gap,
    )


def check_metrics(search: Search) -> None:
    """Check that the best trials of *search* can be scored again, before hours are spent on it.

    Raises:
        UnknownNameError: Its metric, or that of a constraint, is none of `METRICS`.
    """
    for metric in (search.metric, *(bound.metric for bound in search.constraints)):
        find_metric(metric)


def pool_spread(values: Sequence[Sequence[float]]) -> Spread:
    """Estimate how much a seed changes a metric, from the fits of several trials together.

    The best trials of a search are alike; three fits of one alone would hardly say anything. Those
    whose fits are all equal do not count: there the seed has no effect.

    Args:
        values: The metric of each fit, for each trial.

    >>> pool_spread([[0.0, 1.0, 2.0], [0.5, 0.5]])
    Spread(deviation=1.0, degrees=2)
    """
    varied = [one for one in values if len(set(one)) > 1]
    degrees = sum(len(one) - 1 for one in varied)
    squares = sum(float(np.var(one)) * len(one) for one in varied)
    return Spread(deviation=math.sqrt(squares / degrees) if degrees else 0.0, degrees=degrees)


def average(
    values: Sequence[float], ends: Sequence[tuple[float, float]], level: float, spread: Spread
) -> tuple[float, float]:
    """Compute the interval of the mean of a metric over models that differ in their seed only.

    Two things are unsure: which rows were drawn, which the interval of every model tells, and which
    seeds. On each side both distances from the mean are added as independent errors are.

    Args:
        values: The metric of each model, on the same rows; shape (models,).
        ends: Its interval, for each model.
        level: Confidence of the intervals, and of the result, in (0, 1).
        spread: How much a seed changes the metric.

    Source: Zou & Donner (2008), Statistics in Medicine 27:1693-1702 (the sum of two estimates).
    """
    from scipy.stats import t

    mean, (low, high) = float(np.mean(values)), np.mean(ends, axis=0)
    reach = 0.0
    if len(set(values)) > 1:
        quantile = float(t.ppf((1 + level) / 2, spread.degrees))
        reach = quantile * spread.deviation / math.sqrt(len(values))
    lowest = mean - math.hypot(mean - low, reach)
    return max(lowest, 0.0), mean + math.hypot(high - mean, reach)


def _check_fresh(study: optuna.Study, tables: Tables) -> None:
    fresh = fingerprint_table(tables.validation_x.assign(target=tables.validation_y)).digest
    if fresh in study.user_attrs.get(ROWS, ()):
        raise SearchError(
            f"the rows to score study '{study.study_name}' again are rows that it has seen",
            "rows that neither trained nor scored a trial",
            "pass other rows, such as the holdout",
        )


def _best_few(study: optuna.Study, top: int) -> list[FrozenTrial]:
    """Take the best trials, of several with equal parameters the first."""
    best: list[FrozenTrial] = []
    for trial in usable_trials(study):
        if trial.params not in [other.params for other in best]:
            best.append(trial)
    return best[:top]


def _refit(trial: FrozenTrial, rescoring: Rescoring) -> _Refit:
    """Fit with one seed after the other, until it is clear that a seed changes nothing."""
    refit = _Refit(trial=trial, rescoring=rescoring)
    seeds = np.random.SeedSequence([rescoring.seed, 1]).generate_state(rescoring.refits)
    try:
        for seed in (int(seed) % 2**31 for seed in seeds):
            model = rescoring.make_model(dict(trial.params))
            is_seeded = _reseed(model, seed)
            refit.models.append(_predict(model, rescoring))
            refit.seeds.extend([seed] * is_seeded)
            if not is_seeded or (len(refit.models) == 2 and _is_equal(*refit.models)):
                break
    except MlflowExtError:
        raise
    except Exception as error:  # whatever an estimator raises is a fact about its parameters
        return replace(refit, models=[], seeds=[], error=f"{type(error).__name__}: {error}")
    return refit


def _conclude(refit: _Refit, level: float, spread: Spread) -> RescoredTrial:
    metric = refit.rescoring.metric
    ends = [found for one in refit.models if (found := interval(metric, one, level))]
    is_known = 0 < len(refit.models) == len(ends)
    return RescoredTrial(
        trial=refit.trial.number,
        params=refit.trial.params,
        search_value=refit.trial.values[0],
        fresh_value=float(np.mean(refit.values)) if refit.models else None,
        interval=average(refit.values, ends, level, spread) if is_known else None,
        seeds=tuple(refit.seeds),
        excess=refit.excess,
        error=refit.error,
    )


def _is_equal(one: Predictions, other: Predictions) -> bool:
    return np.array_equal(one.probability, other.probability)


def _reseed(model: Any, seed: int) -> bool:
    """Give every part of *model* that takes one the *seed*; say whether there is any."""
    known = model.get_params() if hasattr(model, "get_params") else {}
    names = [name for name in known if name.rpartition("__")[2] == SEED_NAME]
    if names:
        model.set_params(**dict.fromkeys(names, seed))
    return bool(names)


def _predict(model: Any, rescoring: Rescoring) -> Predictions:
    tables = rescoring.tables
    model.fit(tables.train_x, tables.train_y)
    positive = list(model.classes_).index(1)
    probability = model.predict_proba(tables.validation_x)[:, positive]
    if not np.isfinite(probability).all():
        # The table would be blamed, and with it every trial.
        raise ValueError("the model predicts probabilities that are not finite")
    labels = tables.validation_y.to_numpy()
    return Predictions("fresh", labels, probability, rescoring.decision_threshold)


def _nothing_scored(study: optuna.Study, trials: Sequence[RescoredTrial]) -> SearchError:
    causes = "; ".join(f"trial {trial.trial}: {trial.error}" for trial in trials)
    return SearchError(
        f"no trial of study '{study.study_name}' could be scored again: "
        f"{causes or 'none has completed with a finite value'}",
        "at least one trial that fits again",
        "mend the cause, then choose another study name: finished trials are not repeated",
    )
