"""What can be known to be wrong before anything runs: names that no step, gate or metric has."""

from __future__ import annotations

from collections.abc import Collection

from mlflow_ext.errors import MlflowExtError, UnknownNameError
from mlflow_ext.evaluation.metrics import METRICS, check_direction
from mlflow_ext.project import Project
from mlflow_ext.tuning.space import check_search
from pipelines.gate import declared_gates

PROJECT_FILE = "project.yaml"
SOURCES = ("flights", "weather", "planes", "airports")
TABLES = ("flights_raw", "weather_raw", "features")


def check_project(project: Project) -> None:
    """Refuse a project that this pipeline could not carry to its end.

    Raises:
        UnknownNameError: A source, table, gate or metric is unknown.
        GateConfigError: A gate is set up with options that it does not take.
        DirectionError: A metric is to be moved the wrong way.
        SearchError: The estimator does not exist or does not take the parameters.
        MlflowExtError: A source or a suite is missing.
    """
    _check_all("source", project.sources, SOURCES)
    _check_all("suite for table", project.gates.suites, TABLES)
    gates = declared_gates(project)
    for rule in project.promotion.stages.values():
        _check_known("gate", rule.requires, gates)
    for aim in project.search.aims:
        check_direction(aim.metric, aim.direction)
    _check_known("metric", [one.metric for one in project.search.constraints], METRICS)
    check_search(project.search)


def _check_all(kind: str, named: Collection[str], needed: Collection[str]) -> None:
    _check_known(kind, named, needed)
    missing = [name for name in needed if name not in named]
    if missing:
        raise MlflowExtError(
            f"{PROJECT_FILE} names no {kind} '{missing[0]}'",
            f"all of {', '.join(needed)}",
            f"add '{missing[0]}:' to {PROJECT_FILE}",
        )


def _check_known(kind: str, named: Collection[str], known: Collection[str]) -> None:
    for name in named:
        if name not in known:
            raise UnknownNameError(kind, name, known, PROJECT_FILE)
