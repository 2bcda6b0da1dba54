"""The rows that a finished run is in MLflow's database, each value checked by MLflow itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mlflow_ext.tracking.runs import MetricPoint, RunContent

RUN_ID = re.compile(r"[0-9a-f]{32}")
RUN_NAME = "mlflow.runName"
USER = "mlflow.user"
NAME_LENGTH = 250  # of the column
LARGEST = 2**63 - 1  # whole number in a column

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunRows:
    """One run, table by table, as `create_run`, `log_batch` and `update_run` would leave it."""

    run: Row
    params: list[Row]
    metrics: list[Row]
    latest_metrics: list[Row]
    tags: list[Row]

    @property
    def run_id(self) -> str:
        """Its identity."""
        return str(self.run["run_uuid"])


def rows_of(store: Any, experiment: Any, run: RunContent) -> RunRows:
    """Check *run* and return its rows.

    Args:
        store: MLflow's `SqlAlchemyStore`.
        experiment: MLflow's entity of the experiment it belongs to.
        run: What it holds.

    Raises:
        ValueError: It has no usable identity, name or time.
        mlflow.exceptions.MlflowException: MLflow takes one of its values for no value of its kind.
    """
    from mlflow.utils.validation import _validate_param

    _check_head(run)
    owner = {"run_uuid": run.run_id}
    params = [
        _validate_param(key, text, path=f"params.{key}")  # type: ignore[no-untyped-call]
        for key, text in run.params.items()
    ]
    tags = _checked_tags(run)
    metrics = [owner | values for values in _metric_values(store, run)]
    return RunRows(
        run=owner | _head(store, experiment, run) | {"user_id": tags.get(USER, "unknown")},
        params=[owner | {"key": param.key, "value": param.value} for param in params],
        metrics=metrics,
        latest_metrics=_latest(metrics),
        tags=[owner | {"key": key, "value": text} for key, text in tags.items()],
    )


def _check_head(run: RunContent) -> None:
    if not RUN_ID.fullmatch(run.run_id):
        raise ValueError(f"run_id '{run.run_id}' is not 32 hexadecimal digits")
    if not 0 < len(run.name) <= NAME_LENGTH:
        raise ValueError(f"the name is not 1 to {NAME_LENGTH} characters long")
    if run.tags.get(RUN_NAME, run.name) != run.name:
        raise ValueError(f"tag '{RUN_NAME}' is not the name, '{run.name}'")
    if min(run.start_ms, run.end_ms) < 0:
        raise ValueError("it begins or ends before 1970")
    if max(run.start_ms, run.end_ms) > LARGEST:
        raise ValueError("its begin or its end is more than a database holds")


def _head(store: Any, experiment: Any, run: RunContent) -> Row:
    from mlflow.utils.uri import append_to_uri_path

    parts = (experiment.artifact_location, run.run_id, store.ARTIFACTS_FOLDER_NAME)
    return {
        "name": run.name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "source_version": "",
        "status": run.status,
        "start_time": run.start_ms,
        "end_time": run.end_ms,
        "deleted_time": None,
        "lifecycle_stage": "active",
        "artifact_uri": append_to_uri_path(*parts),  # type: ignore[no-untyped-call]
        "experiment_id": int(experiment.experiment_id),
    }


def _checked_tags(run: RunContent) -> dict[str, str]:
    named = {**run.tags, RUN_NAME: run.name}
    return dict(_checked_tag(key, text) for key, text in named.items())


@lru_cache(maxsize=256)  # most tags of a batch are those of all its runs
def _checked_tag(key: str, text: str) -> tuple[str, str]:
    from mlflow.utils.validation import _validate_tag

    tag = _validate_tag(key, text, path=f"tags.{key}")  # type: ignore[no-untyped-call]
    return tag.key, tag.value


def _metric_values(store: Any, run: RunContent) -> Iterable[Row]:
    from mlflow.utils.validation import _validate_metric

    for index, point in enumerate(dict.fromkeys(map(MetricPoint._make, run.metrics))):
        _validate_metric(*point, path=f"metrics[{index}]")  # type: ignore[no-untyped-call]
        if max(point.timestamp_ms, abs(point.step)) > LARGEST:
            raise ValueError(f"metrics[{index}]: its time or step is more than a database holds")
        is_nan, value = store.sanitize_metric_value(point.value)
        place = {"key": point.key, "timestamp": point.timestamp_ms, "step": point.step}
        yield place | {"value": value, "is_nan": is_nan}


def _latest(metrics: Iterable[Row]) -> list[Row]:
    """Return the point of each metric that MLflow shows as its value."""
    found: dict[str, Row] = {}
    for row in metrics:
        other = found.get(row["key"])
        if other is None or _age(row) > _age(other):
            found[row["key"]] = row
    return list(found.values())


def _age(row: Mapping[str, Any]) -> tuple[int, int, float]:
    return row["step"], row["timestamp"], row["value"]
