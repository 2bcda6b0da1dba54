"""What the child run of a finished trial says; a pure function of trial and place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from mlflow_ext.project.search import TRIAL_NUMBER, TRIAL_SECONDS
from mlflow_ext.tracking.runs import MetricPoint, RunContent
from mlflow_ext.tuning.attributes import (
    BOUNDED,
    ERROR,
    NON_FINITE,
    REASON,
    REPORTED_MS,
    STATE,
    TRIAL,
)
from mlflow_ext.tuning.mirror.place import StudyRun
from mlflow_ext.tuning.mirror.spelling import PARAM_LENGTH, spell_key, spell_tags, spell_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

NAME_PREFIX = "trial-"
STATUS: dict[str, Literal["FINISHED", "KILLED", "FAILED"]] = {
    "COMPLETE": "FINISHED",
    "PRUNED": "KILLED",
    "FAIL": "FAILED",
}


def content_of(place: StudyRun, trial: FrozenTrial) -> RunContent:
    """Say in MLflow's terms what a finished trial holds.

    A pruned trial has no value under the metric's name: it would rank among models that saw all
    rows. Values that a chart cannot show become a tag: MLflow clips infinity and hides nan.
    """
    return RunContent(
        run_id=place.child_id(trial.number),
        name=f"{NAME_PREFIX}{trial.number:04d}",
        status=STATUS[trial.state.name],
        start_ms=begin_ms(trial),
        end_ms=_milliseconds(trial.datetime_complete),
        params={spell_key(k): spell_text(v, PARAM_LENGTH) for k, v in trial.params.items()},
        metrics=[*_metrics_of(trial, place.metrics)],
        tags={**spell_tags(_tags_of(trial)), **place.own_tags},
    )


def begin_ms(trial: FrozenTrial) -> int:
    """Return when *trial* began, in milliseconds since the epoch."""
    return _milliseconds(trial.datetime_start or trial.datetime_complete)


def _metrics_of(trial: FrozenTrial, names: tuple[str, ...]) -> Iterator[MetricPoint]:
    """Yield intermediate and final values, the duration and the number, for charts."""
    end = _milliseconds(trial.datetime_complete)
    reported = trial.user_attrs.get(REPORTED_MS, [])
    times = dict(zip(sorted(trial.intermediate_values), reported, strict=False))
    points = [
        (f"intermediate/{names[0]}", value, times.get(step, end), step)
        for step, value in sorted(trial.intermediate_values.items())
    ]
    points += [(name, value, end, 0) for name, value in zip(names, _values(trial), strict=False)]
    bounded = trial.user_attrs.get(BOUNDED, {}) if trial.state.name == "COMPLETE" else {}
    points += [(name, value, end, 0) for name, value in bounded.items() if name not in names]
    points.append((TRIAL_SECONDS, _seconds(trial), end, 0))
    points.append((TRIAL_NUMBER, float(trial.number), end, 0))
    for key, value, timestamp, step in points:
        if math.isfinite(value):
            yield MetricPoint(spell_key(key), value, timestamp, step)


def _tags_of(trial: FrozenTrial) -> dict[str, str]:
    # MLflow reads meaning into names that begin with its own.
    attributes = {
        f"trial.{key}" if key.startswith("mlflow.") else key: _text_of(value)
        for key, value in trial.user_attrs.items()
        if key not in {BOUNDED, ERROR, REPORTED_MS}
    }
    own = {TRIAL: str(trial.number), STATE: trial.state.name}
    optional = {REASON: _reason_of(trial), NON_FINITE: _non_finite_of(trial)}
    return {**attributes, **own, **{key: text for key, text in optional.items() if text}}


def _text_of(value: Any) -> str:
    """Return a text as it is, and what is none as JSON, which is what Optuna keeps."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _reason_of(trial: FrozenTrial) -> str:
    if trial.state.name == "PRUNED":
        when = "before any step" if trial.last_step is None else f"after step {trial.last_step}"
        return f"pruned {when}: hopeless next to the other trials"
    if trial.state.name == "FAIL":
        return str(trial.user_attrs.get(ERROR, "its process stopped before it ended"))
    return ""


def _non_finite_of(trial: FrozenTrial) -> str:
    values = {f"step {step}": value for step, value in sorted(trial.intermediate_values.items())}
    finals = _values(trial)
    values |= {f"value {n}" if len(finals) > 1 else "value": v for n, v in enumerate(finals)}
    return ", ".join(f"{key}: {value}" for key, value in values.items() if not math.isfinite(value))


def _values(trial: FrozenTrial) -> list[float]:
    return list(trial.values or []) if trial.state.name == "COMPLETE" else []


def _seconds(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration else 0.0


def _milliseconds(moment: datetime | None) -> int:
    return round(moment.timestamp() * 1000) if moment else 0
