"""Samplers of Optuna that count trials, made to count as if no trial was ever repeated.

The numbers behind a repeated trial are shifted by one, and a place kept in the study moves on with
a proposal that was cut off: the trials after it would not be those of an unbroken study.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from optuna.samplers import CmaEsSampler, QMCSampler

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class OrdinalCmaEsSampler(CmaEsSampler):
    """Adds to its seed how many trials went before, instead of the number of the trial.

    Args:
        ordinal: How many, but those that were repeated.
        options: Those of Optuna's sampler.
    """

    def __init__(self, ordinal: int, **options: Any) -> None:
        super().__init__(**options)
        self._ordinal = ordinal

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose the parameters of *trial*."""
        alike = copy.copy(trial)
        alike.number = self._ordinal
        return super().sample_relative(study, alike, search_space)


class OrdinalQMCSampler(QMCSampler):
    """Takes its place in the sequence from how many trials went before.

    Args:
        ordinal: How many, but those that were repeated; the first is not of the sequence.
        options: Those of Optuna's sampler.
    """

    def __init__(self, ordinal: int, **options: Any) -> None:
        super().__init__(**options)
        self._ordinal = ordinal

    def _find_sample_id(self, *_: Any) -> int:
        return max(0, self._ordinal - 1)
