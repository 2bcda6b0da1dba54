"""What fresh rows say of the best trials of a study; the study itself remembers it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from mlflow_ext.tuning.attributes import RESCORED

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, kw_only=True)
class RescoredTrial:
    """One of the best trials, beside what fresh rows say of it."""

    trial: int
    """Its number."""
    params: dict[str, Any]
    search_value: float
    fresh_value: float | None
    """Mean over the fits with other seeds; None when none could be scored."""
    interval: tuple[float, float] | None
    """Of the fresh value; holds for all trials that were scored again together."""
    seeds: tuple[int, ...]
    """Seeds of the fits; none where the estimator takes none."""
    excess: tuple[float, ...] = ()
    """By how much it misses each constraint on fresh rows, mean over the fits; 0 or less: kept."""
    error: str = ""
    """Why there is no fresh value."""

    @property
    def is_allowed(self) -> bool:
        """Whether it keeps every constraint on fresh rows."""
        return all(excess <= 0 for excess in self.excess)


@dataclass(frozen=True, kw_only=True)
class Rescored:
    """What fresh rows say of the best trials of a study."""

    metric: str
    rows: int
    """Fresh rows."""
    level: float
    """Confidence of the intervals, all together."""
    trials: tuple[RescoredTrial, ...]
    """In the order of the search, its best first."""
    winner: RescoredTrial
    """The one with the best fresh value among those that keep the constraints, if any does."""
    optimism: float | None
    """How much better the search made its best trial look than fresh rows do, in the unit of the
    metric; None when that trial could not be scored again."""


def count_finished(study: optuna.Study) -> int:
    """Count the trials of *study* that will not change any more."""
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def is_judged(study: optuna.Study) -> bool:
    """Say whether the best of *study* was chosen after its last trial had finished."""
    kept = study.user_attrs.get(RESCORED) or {}
    return bool(kept.get("of_trials") == count_finished(study))


def keep_rescored(study: optuna.Study, found: Rescored | None, of_trials: int) -> None:
    """Remember in *study* that it was judged, and what fresh rows say of its best trials.

    Where more is known already, that stays.

    Args:
        study: The study.
        found: What they say; None where no fresh rows were scored.
        of_trials: How many trials had finished when the best were chosen.
    """
    known = study.user_attrs.get(RESCORED)
    if known and known["of_trials"] > of_trials:  # another machine has ended after this one
        return
    kept = {"of_trials": of_trials, **(_shorten(found) if found else {})}
    if kept != known:
        study.set_user_attr(RESCORED, kept)


def read_rescored(study: optuna.Study) -> Rescored | None:
    """Return what fresh rows say of the best trials of *study*.

    Returns:
        None where no fresh rows were scored, or where trials have finished since: one of them may
        be better.
    """
    kept = study.user_attrs.get(RESCORED) or {}
    if "trials" not in kept or not is_judged(study):
        return None
    params = {trial.number: trial.params for trial in study.get_trials(deepcopy=False)}
    trials = {one["trial"]: _lengthen(one, params[one["trial"]]) for one in kept["trials"]}
    return Rescored(
        metric=kept["metric"],
        rows=kept["rows"],
        level=kept["level"],
        trials=tuple(trials.values()),
        winner=trials[kept["winner"]],
        optimism=kept["optimism"],
    )


def _shorten(found: Rescored) -> dict[str, Any]:
    """Return *found* as JSON gives it back, without what the trials themselves hold."""
    trials: list[dict[str, Any]] = to_jsonable_python([asdict(one) for one in found.trials])
    for one in trials:
        del one["params"]
    return {**vars(found), "trials": trials, "winner": found.winner.trial}


def _lengthen(kept: dict[str, Any], params: dict[str, Any]) -> RescoredTrial:
    ends = tuple(kept["interval"]) if kept["interval"] else None
    several = {key: tuple(kept[key]) for key in ("seeds", "excess")}
    return RescoredTrial(**{**kept, **several, "params": params, "interval": ends})
