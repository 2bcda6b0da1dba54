"""Which trials count, and which of them no other beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlflow_ext.tuning.attributes import EXCESS

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


def is_usable(trial: FrozenTrial) -> bool:
    """Tell a trial that completed, with finite values, and kept every constraint of the search."""
    is_complete = trial.state.name == "COMPLETE" and all(map(math.isfinite, trial.values))
    return is_complete and all(excess <= 0 for excess in trial.user_attrs.get(EXCESS, ()))


def find_front(study: optuna.Study) -> list[FrozenTrial]:
    """List the completed trials that no other beats in every objective, the winner first.

    With one objective, the winner alone. Infinite values and trials that break a constraint are
    left out.
    """
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    signs = [-1 if one is StudyDirection.MAXIMIZE else 1 for one in study.directions]
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    losses = [
        ([sign * value for sign, value in zip(signs, trial.values, strict=True)], trial)
        for trial in complete
        if is_usable(trial)
    ]
    losses.sort(key=lambda entry: entry[0])  # stable: of equals, the first trial
    front: list[tuple[list[float], FrozenTrial]] = []
    for loss, trial in losses:
        if not any(_is_as_good(other, loss) for other, _ in front):
            front.append((loss, trial))
    return [trial for _, trial in front]


def value_of(trial: FrozenTrial) -> float:
    """Return the value of *trial*, the deciding one of several; NaN when it has none."""
    return trial.values[0] if trial.values else math.nan


def seconds_of(trial: FrozenTrial) -> float:
    """Return how long *trial* took, 0 when it never began."""
    return trial.duration.total_seconds() if trial.duration else 0.0


def _is_as_good(left: Sequence[float], right: Sequence[float]) -> bool:
    return all(mine <= others for mine, others in zip(left, right, strict=True))
