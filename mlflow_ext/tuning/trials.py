"""One trial as the process that runs it sees it: given parameters, an outcome at the end.

The process may be this one, a worker beside it or one on another machine; none of them touches the
study. `Claim` and `Outcome` are plain JSON values, so they go over any wire.
"""

from __future__ import annotations

import json
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

from mlflow_ext.errors import MlflowExtError
from mlflow_ext.tuning.attributes import ERROR, REPORTED_MS

Objective = Callable[[Any], float | Sequence[float]]
"""Takes a `ClaimedTrial`; returns one value for each objective."""
Reports = Mapping[int, float]
"""Step -> intermediate value."""
LAST_STEP = 2**31 - 1  # more is too large for a column of Optuna's databases


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trial that was given out."""

    number: int
    params: dict[str, Any]
    """Every parameter of the space that is active, with its value."""
    n_values: int
    """How many objectives there are."""
    is_prunable: bool
    """Whether somebody wants to hear of intermediate values before the end."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended."""

    number: int
    state: str
    """``COMPLETE``, ``PRUNED`` or ``FAIL``."""
    values: tuple[float, ...] = ()
    """One for each objective of a complete trial."""
    reports: Reports = field(default_factory=dict)
    """Intermediate values that nobody was told of before."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


class ClaimedTrial(optuna.trial.FixedTrial):
    """What an objective gets: Optuna's trial, but for its study, which is elsewhere.

    Args:
        claim: The trial.
        ask: Number of the trial and new intermediate values -> whether to prune it.
    """

    def __init__(self, claim: Claim, ask: Callable[[int, Reports], bool]) -> None:
        super().__init__(claim.params, claim.number)
        self._ask = ask
        self._is_prunable = claim.is_prunable
        self._unsaid: dict[int, float] = {}
        self._times: dict[int, int] = {}

    def report(self, value: float, step: int) -> None:
        """Note an intermediate value; of several for one step the first counts.

        Args:
            value: Finite or not.
            step: A whole number from 0 to `LAST_STEP`, of Python or numpy.

        Raises:
            ValueError: The step is another number.
            TypeError: The step is no whole number.
        """
        step = operator.index(step)
        if not 0 <= step <= LAST_STEP:
            raise ValueError(f"the step of a report is {step}, and not from 0 to {LAST_STEP}")
        if step not in self._times:
            # Optuna keeps no time for an intermediate value, and a chart of it needs one.
            self._times[step] = time.time_ns() // 1_000_000
            self._unsaid[step] = float(value)

    def should_prune(self) -> bool:
        """Say whether the intermediate values so far are hopeless next to those of other trials."""
        if not self._is_prunable:
            return False
        unsaid, self._unsaid = self._unsaid, {}
        return self._ask(self.number, unsaid)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a fact about the trial, any JSON value."""
        super().set_user_attr(key, json.loads(json.dumps(value)))

    def end(self, state: str, values: Sequence[float] = ()) -> Outcome:
        """Sum up what has happened, when the trial is over."""
        if self._times:
            self.set_user_attr(REPORTED_MS, [self._times[step] for step in sorted(self._times)])
        return Outcome(
            number=self.number,
            state=state,
            values=tuple(values),
            reports=self._unsaid,
            attributes=self.user_attrs,
        )


def run_trial(objective: Objective, claim: Claim, ask: Callable[[int, Reports], bool]) -> Outcome:
    """Run one trial to its end; whatever the objective raises is a fact about its parameters.

    Raises:
        MlflowExtError: The objective raised one: it concerns every trial, not this one.
    """
    trial = ClaimedTrial(claim, ask)
    try:
        return trial.end("COMPLETE", _numbers(objective(trial), claim.n_values))
    except optuna.TrialPruned:
        return trial.end("PRUNED")
    except MlflowExtError:
        raise
    except Exception as error:
        trial.set_user_attr(ERROR, _describe(error))
        return trial.end("FAIL")


def _describe(error: Exception) -> str:
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception:  # its text raises one of its own
        return f"{kind} without a text"


def _numbers(found: Any, wanted: int) -> list[float]:
    several = found if isinstance(found, list | tuple) else [found]
    values = [float(value) for value in several]
    if len(values) != wanted:
        raise ValueError(f"the objective returned {len(values)} values for {wanted} objectives")
    if any(math.isnan(value) for value in values):
        raise ValueError("the objective returned nan")
    return values
