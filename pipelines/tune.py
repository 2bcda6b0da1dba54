"""Step 4: search for the best parameters; every trial becomes a child run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from mlflow_ext.evaluation.metrics import score
from mlflow_ext.lineage.steps import Step, step_key
from mlflow_ext.project import Search
from mlflow_ext.registry.connection import reaching
from mlflow_ext.tuning import Tables, TuningTask
from mlflow_ext.tuning import tune as run_study
from mlflow_ext.tuning.rows import keep_back
from mlflow_ext.tuning.space import fit_point
from mlflow_ext.tuning.study import StudyResult
from pipelines.candidate import Candidate
from pipelines.features import Prepared
from pipelines.split import Parts, Problem, cut

NO_CHAMPION = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says without a model, an alias, or the run of the version."""
HOME = Path(os.environ.get("MLFLOW_EXT_HOME", ".mlflow_ext"))


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What the search found."""

    study: str
    params: dict[str, Any]
    """Argument of the estimator -> value of the winner."""
    metric: str
    """What was optimised."""
    value: float
    """The metric of the winner: on rows kept from the search, else on those of the search."""
    promise: str = ""
    """The same in words with its interval; empty where no rows were kept from the search."""
    optimism: float = 0.0
    """How much better the search made its best trial look, in the unit of the metric."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the parameters promise."""
        if not self.promise:
            return ()
        is_modest = self.optimism <= 0
        hope = "did not overstate it" if is_modest else f"was {self.optimism:.4f} too hopeful"
        return (f"{self.metric} {self.promise}; the search {hope}",)


@dataclass(frozen=True, kw_only=True)
class StudyChoice:
    """Which study to begin or to go on with."""

    name: str
    """As asked for; empty: one name for one problem on one table."""
    suffix: str = field(default="", compare=False)
    """Keeps a study apart that is begun anew; it does not make the work another."""
    champion: tuple[str, str] = field(default=("", ""), compare=False)
    """Model and alias of the version whose parameters a new study tries first."""


def tune(
    problem: Problem, search: Search, study: StudyChoice, time_column: str, features: Prepared
) -> Tuned:
    """Run the study, or what is missing of it; the champion's parameters are its first trial.

    Args:
        problem: What is learned, and how the table is cut.
        search: The space and its budget.
        study: Its name, and the champion.
        time_column: When each flight left; cross-validation may go by it.
        features: The training table.

    Raises:
        NoTrialCompletedError: No trial completed.
        SearchError: The search does not fit its estimator, or the study was begun with another.
    """
    name = study.name or _name_study(problem, search, features) + study.suffix
    tables, fresh = _tables(cut(features.table, problem), search, time_column)
    found = run_study(
        TuningTask(
            name=name,
            storage_dir=HOME / "studies",
            search=search,
            make_model=Candidate(
                columns=problem.columns,
                search=search,
                decision_threshold=problem.decision_threshold,
            ),
            tables=tables,
            fresh=fresh,
            decision_threshold=problem.decision_threshold,
            score=partial(score, decision_threshold=problem.decision_threshold),
            first=_champion_point(search, *study.champion),
        )
    )
    return _tell(found, search.metric)


def _tell(found: StudyResult, metric: str) -> Tuned:
    """Say what the study found; where rows were kept back, they have the last word."""
    said = Tuned(study=found.name, params=found.best_params, metric=metric, value=found.best_value)
    if found.rescored is None:
        return said
    winner, rows = found.rescored.winner, found.rescored.rows
    assert winner.fresh_value is not None  # or it would not have won
    ends = " ({:.4f} to {:.4f})".format(*winner.interval) if winner.interval else ""
    return replace(
        said,
        params=winner.params,
        value=winner.fresh_value,
        promise=f"{winner.fresh_value:.4f}{ends} on {rows:,} fresh rows",
        optimism=found.rescored.optimism or 0.0,
    )


def _name_study(problem: Problem, search: Search, features: Prepared) -> str:
    """Name the work, but not for how long it may go on: more trials continue the same study.

    Other code, another library or another search is other work: its trials cannot be compared.
    """
    unbounded = replace(
        search, n_trials=1, timeout=None, workers=1, engine="processes", storage=None
    )
    inputs = {"problem": problem, "search": unbounded, "features": features.table}
    return f"{problem.through}-{step_key(Step(function=tune), inputs)[:10]}"


def _champion_point(search: Search, model: str, alias: str) -> tuple[dict[str, Any], ...]:
    """Read the parameters of the champion, as far as they lie in the space; none without one.

    Raises:
        MlflowExtError: The registry, or the tracking store, does not answer or refuses.
    """
    client = mlflow.MlflowClient()
    with reaching(client):
        try:
            version = client.get_model_version_by_alias(model, alias)
            params = client.get_run(version.run_id or "").data.params
        except MlflowException as error:
            if error.error_code not in NO_CHAMPION:
                raise
            return ()
    point = fit_point(params, search.space)
    return (point,) if point and params.get("estimator") == search.estimator else ()


def _tables(parts: Parts, search: Search, time_column: str) -> tuple[Tables, Tables | None]:
    """Return the rows of the search, and those that are kept from it."""
    tables = Tables(
        train_time=parts.train.frame[time_column],
        train_x=parts.train.X,
        train_y=parts.train.y,
        validation_x=parts.validation.X,
        validation_y=parts.validation.y,
    )
    if search.rescore is None:
        return tables, None
    return keep_back(tables, parts.validation.frame[time_column], search.rescore.share)
