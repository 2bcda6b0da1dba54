"""Every finished trial as one child run in MLflow, under the run of its study.

The journal holds the truth. What stands in MLflow can be made from it again at any time: `sync`
adds what is missing, ends what a crash left running and removes what is there twice.
"""

from __future__ import annotations

import hashlib
import math
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlflow_ext.process import current_process, is_alive
from mlflow_ext.tuning.attributes import (
    ERROR,
    NON_FINITE,
    OWNER,
    REASON,
    REPORTED_MS,
    STATE,
    STUDY,
    STUDY_ID,
    TRIAL,
)
from mlflow_ext.tuning.study import seconds_of

if TYPE_CHECKING:
    import optuna
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run
    from optuna.trial import FrozenTrial

# MLflow's limits for one call and for one entry.
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 900
KEY_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 8000

RUNS_PER_PAGE = 1000
PARENT = "mlflow.parentRunId"
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """The run under which the trials of one study appear."""

    client: MlflowClient
    experiment_id: str
    parent_run_id: str
    metric: str
    """What the values of the trials are called."""
    tags: Mapping[str, str]
    """Tags of every child run: its parent, its study, who made it."""


def open_study_run(client: MlflowClient, parent: Run, study: optuna.Study, metric: str) -> StudyRun:
    """Name the place where the trials of *study* appear.

    Args:
        client: Speaks to the tracking store.
        parent: The run of the study.
        study: A study that `mlflow_ext.tuning.journal.open_study` opened.
        metric: What the values of the trials are called, e.g. ``roc_auc``.
    """
    from mlflow.tracking.context.registry import resolve_tags

    own = {STUDY: study.study_name, STUDY_ID: study.user_attrs[STUDY_ID]}
    return StudyRun(
        client=client,
        experiment_id=parent.info.experiment_id,
        parent_run_id=parent.info.run_id,
        metric=metric,
        # What `mlflow.start_run` would add: user, source, and what context plugins know.
        tags={**resolve_tags(), PARENT: parent.info.run_id, **own},
    )


def mirror_trial(place: StudyRun, trial: FrozenTrial) -> str:
    """Make the child run of a finished trial, in three calls.

    Returns:
        The id of the child run.
    """
    child = place.client.create_run(
        place.experiment_id,
        start_time=_begin_ms(trial),
        tags={**_tags_of(trial), **_fitting(place.tags)},
        run_name=f"trial-{trial.number:04d}",
    )
    _fill_and_end(place, child.info.run_id, trial)
    run_id: str = child.info.run_id
    return run_id


def sync(place: StudyRun, study: optuna.Study) -> int:
    """Bring the child runs of *study* to one for each finished trial, with equal content.

    May be called any number of times, by any process, after any crash. A trial whose process lives
    is left to that process. Children of an earlier parent run move under this one.

    Returns:
        How many child runs were made, ended, moved or removed; 0 when all was right.
    """
    children = _children(place)
    finished = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    return sum(_settle(place, t, children[t.number]) for t in finished if not _is_anothers(t))


def _settle(place: StudyRun, trial: FrozenTrial, found: list[Run]) -> int:
    if not found:
        mirror_trial(place, trial)
        return 1
    kept, *doubles = sorted(found, key=lambda run: (run.info.status == "RUNNING", run.info.run_id))
    for double in doubles:
        place.client.delete_run(double.info.run_id)
    is_running = kept.info.status == "RUNNING"
    if is_running:
        _fill_and_end(place, kept.info.run_id, trial)
    is_elsewhere = kept.data.tags.get(PARENT) != place.parent_run_id
    if is_elsewhere:
        place.client.set_tag(kept.info.run_id, PARENT, place.parent_run_id)
    return len(doubles) + (is_running or is_elsewhere)


def _children(place: StudyRun) -> dict[int, list[Run]]:
    """Trial number -> its child runs in the experiment, under whatever parent."""
    found: dict[int, list[Run]] = defaultdict(list)
    query = f"tags.`{STUDY_ID}` = '{place.tags[STUDY_ID]}'"
    token: str | None = ""
    while token is not None:
        page = place.client.search_runs(
            [place.experiment_id], query, max_results=RUNS_PER_PAGE, page_token=token or None
        )
        for run in page:
            if TRIAL in run.data.tags:
                found[int(run.data.tags[TRIAL])].append(run)
        token = page.token or None
    return found


def _is_anothers(trial: FrozenTrial) -> bool:
    """Whether another process is alive that mirrors this trial itself."""
    owner = trial.user_attrs.get(OWNER)
    return owner is not None and owner != current_process() and is_alive(owner) is True


def _fill_and_end(place: StudyRun, run_id: str, trial: FrozenTrial) -> None:
    params, metrics = _params_of(trial), _metrics_of(trial, place.metric)
    calls = max(
        math.ceil(len(params) / PARAMS_PER_CALL), math.ceil(len(metrics) / METRICS_PER_CALL), 1
    )
    for call in range(calls):
        place.client.log_batch(
            run_id,
            params=params[call * PARAMS_PER_CALL :][:PARAMS_PER_CALL],
            metrics=metrics[call * METRICS_PER_CALL :][:METRICS_PER_CALL],
        )
    with _no_url_printed():
        place.client.set_terminated(run_id, STATUS[trial.state.name], _end_ms(trial))


@contextmanager
def _no_url_printed() -> Iterator[None]:
    """Spare a server one more request for each trial, and the screen two lines."""
    name = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _params_of(trial: FrozenTrial) -> list[Param]:
    from mlflow.entities import Param

    return [Param(_key(k), _cut(str(v), PARAM_LENGTH)) for k, v in trial.params.items()]


def _metrics_of(trial: FrozenTrial, name: str) -> list[Metric]:
    """The final value, the intermediate ones, the duration and the number, for charts."""
    from mlflow.entities import Metric

    end = _end_ms(trial)
    reported = trial.user_attrs.get(REPORTED_MS, [])
    times = dict(zip(sorted(trial.intermediate_values), reported, strict=False))
    points = [
        (f"intermediate/{name}", value, times.get(step, end), step)
        for step, value in sorted(trial.intermediate_values.items())
    ]
    if trial.state.name == "COMPLETE" and trial.value is not None:
        points.append((name, trial.value, end, 0))
    points.append(("duration_seconds", seconds_of(trial), end, 0))
    points.append(("trial", float(trial.number), end, 0))
    return [Metric(_key(key), *point) for key, *point in points if math.isfinite(point[0])]


def _tags_of(trial: FrozenTrial) -> dict[str, str]:
    attributes = {key: v for key, v in trial.user_attrs.items() if key not in {ERROR, REPORTED_MS}}
    own = {TRIAL: trial.number, STATE: trial.state.name}
    optional = {REASON: _reason_of(trial), NON_FINITE: _non_finite_of(trial)}
    return _fitting({**attributes, **own, **{key: text for key, text in optional.items() if text}})


def _reason_of(trial: FrozenTrial) -> str:
    if trial.state.name == "PRUNED":
        return f"pruned after step {trial.last_step}: hopeless next to the other trials"
    if trial.state.name == "FAIL":
        return str(trial.user_attrs.get(ERROR, "its process stopped before it ended"))
    return ""


def _non_finite_of(trial: FrozenTrial) -> str:
    values: dict[str, float | None] = {
        f"step {step}": value for step, value in sorted(trial.intermediate_values.items())
    }
    values["value"] = trial.value
    return ", ".join(
        f"{k}: {v}" for k, v in values.items() if v is not None and not math.isfinite(v)
    )


def _begin_ms(trial: FrozenTrial) -> int:
    return _milliseconds(trial.datetime_start or trial.datetime_complete)


def _end_ms(trial: FrozenTrial) -> int:
    return _milliseconds(trial.datetime_complete)


def _milliseconds(moment: datetime | None) -> int:
    return round(moment.timestamp() * 1000) if moment else 0


def _fitting(tags: Mapping[str, Any]) -> dict[str, str]:
    return {_key(name): _cut(str(value), TAG_LENGTH) for name, value in tags.items()}


def _key(name: str) -> str:
    """Return *name* as MLflow takes it; a changed one ends in a digest, so that two stay two.

    >>> _key("max_depth"), _key("layers[0]")
    ('max_depth', 'layers_0_-caf57d8a')
    """
    key = re.sub(r"[^\w.\- /]", "_", name)
    if posixpath.normpath(key) != key or key.startswith((".", "/")):
        key = re.sub("[./]", "_", key)
    if key == name and 0 < len(key) <= KEY_LENGTH:
        return key
    return f"{key[: KEY_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
