"""Step 4: search for the best parameters; every trial becomes a child run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mlflow_ext.data.features import make_model
from mlflow_ext.evaluation.metrics import score
from mlflow_ext.lineage.steps import Step, step_key
from mlflow_ext.project import Search
from mlflow_ext.tuning import Tables, TuningTask
from mlflow_ext.tuning import tune as run_study
from mlflow_ext.tuning.space import build_estimator
from pipelines.features import Prepared
from pipelines.split import Parts, Problem, cut

HOME = Path(os.environ.get("MLFLOW_EXT_HOME", ".mlflow_ext"))


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What the search found."""

    study: str
    params: dict[str, Any]
    """Constructor argument -> value of the best trial."""
    value: float
    """The search metric of the best trial on the validation months."""


@dataclass(frozen=True, kw_only=True)
class StudyChoice:
    """Which study to begin or to go on with."""

    name: str
    """As asked for; empty: one name for one problem on one table."""
    suffix: str = field(default="", compare=False)
    """Keeps a study apart that is begun anew; it does not make the work another."""


def tune(problem: Problem, search: Search, study: StudyChoice, features: Prepared) -> Tuned:
    """Run the study, or what is missing of it.

    Args:
        problem: What is learned, and how the table is cut.
        search: The space and its budget.
        study: Its name.
        features: The training table.

    Raises:
        SearchError: The search does not fit its estimator, or no trial completed.
    """
    name = study.name or _name_study(problem, search, features) + study.suffix
    found = run_study(
        TuningTask(
            name=name,
            storage_dir=HOME / "studies",
            search=search,
            make_model=partial(_make_model, problem, search),
            tables=_tables(cut(features.table, problem)),
            score=partial(score, search.metric, decision_threshold=problem.decision_threshold),
        )
    )
    return Tuned(study=found.name, params=found.best_params, value=found.best_value)


def _name_study(problem: Problem, search: Search, features: Prepared) -> str:
    """Name the work, but not for how long it may go on: more trials continue the same study.

    Other code, another library or another search is other work: its trials cannot be compared.
    """
    unbounded = replace(search, n_trials=1, timeout=None)
    inputs = {"problem": problem, "search": unbounded, "features": features.table}
    return f"{problem.through}-{step_key(Step(function=tune), inputs)[:10]}"


def _make_model(problem: Problem, search: Search, params: dict[str, Any]) -> Any:
    columns = problem.columns
    estimator = build_estimator(search, params)
    return make_model(columns.numeric, columns.categorical, estimator, problem.decision_threshold)


def _tables(parts: Parts) -> Tables:
    return Tables(
        train_x=parts.train.X,
        train_y=parts.train.y,
        validation_x=parts.validation.X,
        validation_y=parts.validation.y,
    )
