"""What proposes the next trial, what stops a hopeless one, and what ends the search early.

All of Optuna's, set up from project.yaml. A sampler is seeded for each trial anew: its state dies
with its process, and this way the one that resumes proposes what the other would have proposed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import SearchError
from mlflow_ext.project import Choices, FloatRange
from mlflow_ext.tuning.attributes import EXCESS
from mlflow_ext.tuning.front import is_usable

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from mlflow_ext.project import Parameter, Search

STAGNATION = 30  # usable trials without a better one after which `terminator` ends a search
PERCENTILE = 25.0  # of the trials that got as far, those that the pruner 'percentile' lets go on
MOST_POINTS = 100_000  # of a grid; they are listed in memory


def make_sampler(
    search: Search, ordinal: int, last: optuna.samplers.BaseSampler | None = None
) -> optuna.samplers.BaseSampler:
    """Make the sampler of the trial that follows *ordinal* others.

    A grid needs none: its points are queued (`next_point`).

    Args:
        search: Names the kind and the seed.
        ordinal: Number of trials before, at least 0.
        last: The sampler of the trial before, which is over; it may be used again.
    """
    import numpy as np
    import optuna

    from mlflow_ext.tuning.ordinal import OrdinalCmaEsSampler, OrdinalQMCSampler

    seed = int(np.random.SeedSequence([search.seed, ordinal]).generate_state(1)[0])
    constraints = excess_of if search.constraints else None
    if search.sampler == "tpe":
        # Side by side, workers would crowd around the same point if nobody saw the others.
        return optuna.samplers.TPESampler(
            seed=seed, constant_liar=search.workers > 1, constraints_func=constraints
        )
    if search.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, constraints_func=constraints)
    if search.sampler == "cmaes":
        # The margin keeps whole numbers and steps from freezing at one value.
        return OrdinalCmaEsSampler(
            ordinal, seed=seed, with_margin=True, warn_independent_sampling=False
        )
    if search.sampler == "qmc":
        return OrdinalQMCSampler(
            ordinal,
            scramble=True,
            seed=search.seed,  # of one sequence
            independent_sampler=optuna.samplers.RandomSampler(seed=seed),
            warn_asynchronous_seeding=False,
            warn_independent_sampling=False,
        )
    if type(last) is optuna.samplers.RandomSampler:
        # A new one asks the machine for randomness before it takes the seed, which is slow.
        last._rng.rng.seed(seed)
        return last
    return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(search: Search) -> optuna.pruners.BasePruner:
    """Make the pruner of *search*; one step is one fraction or one fold.

    With two of them a study that was interrupted may prune others than an unbroken one. Hyperband
    assigns a trial to its bracket by trial number, and those behind a repeated trial are shifted by
    one. It and successive halving compare with every trial that got as far, cut off ones too.
    """
    import optuna

    steps = search.cv.folds if search.cv else len(search.fractions)
    if search.pruner == "median":
        return optuna.pruners.MedianPruner()
    if search.pruner == "percentile":
        return optuna.pruners.PercentilePruner(PERCENTILE)
    if search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=steps)
    if search.pruner == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner()
    return optuna.pruners.NopPruner()


def has_stagnated(study: optuna.Study) -> bool:
    """Say whether the last `STAGNATION` trials that could have won have brought nothing better."""
    from optuna.terminator import BestValueStagnationEvaluator
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    usable = [trial for trial in complete if is_usable(trial)]
    if len(usable) <= STAGNATION:
        return False
    return BestValueStagnationEvaluator(STAGNATION).evaluate(usable, study.direction) <= 0


def excess_of(trial: FrozenTrial) -> Sequence[float]:
    """Return by how much *trial* misses each constraint; 0 or less where it is kept."""
    excess: list[float] = trial.user_attrs.get(EXCESS, [math.inf])
    return excess


def next_point(search: Search, tried: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return a point of the grid that was not tried yet, or None when all were.

    The order is drawn from the seed, so that few trials are spread over the whole grid.

    Args:
        search: The space; every range of real numbers has a step.
        tried: The parameters of the trials so far.

    Raises:
        SearchError: The grid has more than `MOST_POINTS` points.
    """
    points = list_points(search.space)
    random.Random(search.seed).shuffle(points)
    seen = {_identify(point) for point in tried}
    return next((point for point in points if _identify(point) not in seen), None)


def list_points(space: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """List every combination of values; what a condition rules out is left out.

    Raises:
        SearchError: There are more than `MOST_POINTS`.
    """
    points: list[dict[str, Any]] = [{}]
    for name, parameter in space.items():
        values = list(_values_of(parameter))
        points = [
            {**point, **extension}
            for point in points
            for extension in (
                [{name: value} for value in values] if parameter.is_active(point) else [{}]
            )
        ]
        if len(points) > MOST_POINTS:
            raise SearchError(
                f"the grid has more than {MOST_POINTS} points",
                "fewer values or wider steps",
                "widen 'step' in search.space, or choose sampler: tpe",
            )
    return points


def _values_of(parameter: Parameter) -> Iterator[Any]:
    if isinstance(parameter, Choices):
        yield from parameter.choices
    elif isinstance(parameter, FloatRange):
        step = parameter.step or math.inf
        steps = math.floor((parameter.high - parameter.low) / step * (1 + 1e-12))
        # Three times 0.1 is more than 0.3.
        yield from (min(parameter.low + n * step, parameter.high) for n in range(steps + 1))
    else:
        yield from range(parameter.low, parameter.high + 1, parameter.step)


def _identify(point: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, repr(value)) for name, value in point.items())
