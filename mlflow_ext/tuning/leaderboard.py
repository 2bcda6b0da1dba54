"""The trials of a study, best first: in order, as one table, as the best few."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from mlflow_ext.tuning.attributes import DEFINITION, ERROR
from mlflow_ext.tuning.front import find_front, is_usable, seconds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna
    from optuna.trial import FrozenTrial

OWN_COLUMNS = ("trial", "state", "value", "front", "seconds", "error")


def metric_names(study: optuna.Study) -> tuple[str, ...]:
    """Name the values of the trials of *study*, one name for each objective."""
    definition = study.user_attrs.get(DEFINITION, {})
    aims = [definition, *definition.get("objectives", ())] if definition else []
    if len(aims) == len(study.directions):
        return tuple(aim["metric"] for aim in aims)
    several = len(study.directions) > 1
    return tuple(f"value {n}" if several else "value" for n in range(len(study.directions)))


def is_maximized(study: optuna.Study) -> tuple[bool, ...]:
    """Say for each objective of *study* whether more is better."""
    return tuple(direction.name == "MAXIMIZE" for direction in study.directions)


def rank_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Put the finished trials of *study* in order, best first.

    Usable ones first, by value; of several objectives those of the Pareto front first, then by the
    first objective. Ties keep the order of the trials.
    """
    trials = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    front = front_numbers(study)
    sign = -1 if is_maximized(study)[0] else 1

    def place(trial: FrozenTrial) -> tuple[bool, bool, bool, float, int]:
        first = sign * trial.values[0] if trial.values else 0.0
        is_behind = bool(front) and trial.number not in front
        is_complete = trial.state.name == "COMPLETE"
        return not is_usable(trial), not is_complete, is_behind, first, trial.number

    return sorted(trials, key=place)


def usable_trials(study: optuna.Study) -> list[FrozenTrial]:
    """List the trials of *study* that are usable, best first."""
    return [trial for trial in rank_trials(study) if is_usable(trial)]


def find_best(study: optuna.Study) -> FrozenTrial | None:
    """Return the best usable trial of *study*, None while there is none."""
    return next(iter(usable_trials(study)), None)


def front_numbers(study: optuna.Study) -> frozenset[int]:
    """Number the trials of *study* that no other beats in every objective; none if it has one."""
    if len(study.directions) == 1:
        return frozenset()
    return frozenset(trial.number for trial in find_front(study))


def make_leaderboard(study: optuna.Study) -> dict[str, Any]:
    """List the finished trials of *study*, best first, as a table that JSON can hold.

    Returns:
        ``columns`` and ``data``, one row for each trial. The column ``value`` is one for each
        objective, under its name, where there are several; beside ``front``, whether the trial is
        on the Pareto front. An infinite value is a text, since JSON has no such number.
    """
    trials, front = rank_trials(study), front_numbers(study)
    names = sorted({name for trial in trials for name in trial.params})
    several = len(study.directions) > 1
    values = [*metric_names(study), "front"] if several else ["value"]
    taken = {*OWN_COLUMNS, *values}
    titles = [f"{name} (parameter)" if name in taken else name for name in names]
    rows = []
    for trial in trials:
        shown = map(_finite, trial.values or [None] * len(study.directions))
        params = [trial.params.get(name) for name in names]
        mark = [trial.number in front] if several else []
        error = trial.user_attrs.get(ERROR, "")
        head = [trial.number, trial.state.name, *shown, *mark]
        rows.append([*head, *params, seconds_of(trial), error])
    return {"columns": ["trial", "state", *values, *titles, "seconds", "error"], "data": rows}


def describe_trials(study: optuna.Study) -> list[dict[str, Any]]:
    """Say everything about every trial of *study*, in their order, as JSON values."""
    names = metric_names(study)
    return [
        {
            "trial": trial.number,
            "state": trial.state.name,
            "values": dict(zip(names, map(_finite, trial.values), strict=True))
            if trial.values
            else {},
            "params": trial.params,
            "intermediate": {str(k): _finite(v) for k, v in trial.intermediate_values.items()},
            "begun": trial.datetime_start and trial.datetime_start.astimezone().isoformat(),
            "ended": trial.datetime_complete and trial.datetime_complete.astimezone().isoformat(),
            "attributes": trial.user_attrs,
        }
        for trial in study.get_trials(deepcopy=False)
    ]


def count_states(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Count trials by state, in the order in which a state is reached; only states that occur.

    >>> count_states([])
    {}
    """
    found = Counter(trial.state.name.lower() for trial in trials)
    order = ("complete", "pruned", "fail", "running", "waiting")
    return {state: found[state] for state in order if found[state]}


def count_causes(trials: Sequence[FrozenTrial]) -> list[tuple[str, int]]:
    """Count why trials failed, the commonest cause first."""
    failed = (trial for trial in trials if trial.state.name == "FAIL")
    unknown = "its process stopped before it ended"
    return Counter(trial.user_attrs.get(ERROR, unknown) for trial in failed).most_common()


def _finite(value: float | None) -> float | str | None:
    """Return *value* as JSON can hold it: infinity is a text."""
    return value if value is None or math.isfinite(value) else str(value)
