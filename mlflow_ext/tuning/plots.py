"""One page with every plot of a study, and the study's summary on its MLflow run.

The page holds plotly.js once and asks no server for anything, so it opens inside the MLflow UI,
from a mail and years later.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.tuning.attributes import ERROR, STUDY_ID
from mlflow_ext.tuning.study import StudyResult, seconds_of, value_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

    from mlflow_ext.project import Search
    from mlflow_ext.tuning.mirror import StudyRun

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font-family: sans-serif; margin: 2em; }} p {{ color: #666; }}</style>
<script>{plotly}</script></head>
<body><h1>{title}</h1>
{sections}
</body>
</html>
"""
LEADERBOARD = "study/leaderboard.json"
LOGGED_TABLES = "mlflow.loggedArtifacts"


def log_study(
    place: StudyRun, study: optuna.Study, search: Search, result: StudyResult, journal: Path
) -> None:
    """Log plots, leaderboard and summary of *study* on its run; again is no harm.

    Args:
        place: The run of the study.
        study: The study, finished for now.
        search: What it searched.
        result: What it found.
        journal: The file that holds the study; its digest is logged.
    """
    client, run_id = place.client, place.parent_run_id
    client.log_text(run_id, render_plots(study, search.metric), "study/plots.html")
    client.log_dict(run_id, asdict(result), "study/summary.json")
    _log_leaderboard(place, study)
    for key, value in _params_of(search, result.name).items():
        client.log_param(run_id, key, value)
    for key, value in _metrics_of(search, result).items():
        client.log_metric(run_id, key, value)
    for key, value in _tags_of(study, search, result, journal).items():
        client.set_tag(run_id, key, value)


def render_plots(study: optuna.Study, metric: str) -> str:
    """Draw history, importances, parallel coordinates and slices of *study* as one HTML page.

    Args:
        study: A study with any number of finished trials.
        metric: What the values of the trials are called.

    Returns:
        The page. A plot that these trials do not allow is replaced by the reason.
    """
    from plotly.offline import get_plotlyjs

    sections = (_render_section(title, study, draw) for title, draw in _plots(metric).items())
    return PAGE.format(
        title=html.escape(f"Study {study.study_name}"),
        plotly=get_plotlyjs(),
        sections="\n".join(sections),
    )


def _plots(metric: str) -> dict[str, Callable[[optuna.Study], Figure]]:
    from optuna import visualization
    from optuna.importance import FanovaImportanceEvaluator

    def draw_importances(study: optuna.Study) -> Figure:
        values = {value_of(t) for t in study.get_trials(deepcopy=False) if _is_complete(t)}
        if sum(map(math.isfinite, values)) < 2:
            # Optuna draws made-up equal bars.
            raise ValueError("importances need two completed trials with different values")
        evaluator = FanovaImportanceEvaluator(seed=0)
        return visualization.plot_param_importances(study, evaluator=evaluator, target_name=metric)

    return {
        "History": lambda s: visualization.plot_optimization_history(s, target_name=metric),
        "Importances": draw_importances,
        "Parallel coordinates": lambda s: visualization.plot_parallel_coordinate(
            s, target_name=metric
        ),
        "Slices": lambda s: visualization.plot_slice(s, target_name=metric),
    }


def _render_section(title: str, study: optuna.Study, draw: Callable[[optuna.Study], Figure]) -> str:
    try:
        figure = draw(study)
        reason = "" if figure.data else "no trial has completed with a finite value"
    except (ValueError, RuntimeError) as error:  # how Optuna says that the trials do not allow it
        reason = str(error)
    if reason:
        return f"<h2>{title}</h2>\n<p>Not drawn: {html.escape(reason)}</p>"
    return f"<h2>{title}</h2>\n{figure.to_html(full_html=False, include_plotlyjs=False)}"


def _log_leaderboard(place: StudyRun, study: optuna.Study) -> None:
    """Log the trials, best first, as a table that MLflow shows and `mlflow.load_table` reads.

    Not with `mlflow.log_table`: that appends to the table of an earlier call.
    """
    client, run_id = place.client, place.parent_run_id
    client.log_dict(run_id, _leaderboard(study), LEADERBOARD)
    tables = json.loads(client.get_run(run_id).data.tags.get(LOGGED_TABLES, "[]"))
    own = {"path": LEADERBOARD, "type": "table"}
    client.set_tag(run_id, LOGGED_TABLES, json.dumps([t for t in tables if t != own] + [own]))


def _leaderboard(study: optuna.Study) -> dict[str, Any]:
    from optuna.study import StudyDirection

    sign = -1 if study.direction is StudyDirection.MAXIMIZE else 1

    def rank(trial: FrozenTrial) -> tuple[bool, float, int]:
        return not _is_complete(trial), sign * (trial.value or 0.0), trial.number

    trials = sorted((t for t in study.get_trials() if t.state.is_finished()), key=rank)
    names = sorted({name for trial in trials for name in trial.params})
    columns = ["trial", "state", "value", *names, "seconds", "error"]
    return {"columns": columns, "data": [_row(trial, names) for trial in trials]}


def _is_complete(trial: FrozenTrial) -> bool:
    return trial.state.name == "COMPLETE"


def _row(trial: FrozenTrial, names: list[str]) -> list[Any]:
    # JSON has no infinity.
    value = trial.value if math.isfinite(value_of(trial)) else trial.value and str(trial.value)
    params = [trial.params.get(name) for name in names]
    error = trial.user_attrs.get(ERROR, "")
    return [trial.number, trial.state.name, value, *params, seconds_of(trial), error]


def _params_of(search: Search, name: str) -> dict[str, Any]:
    """What does not change when the study goes on: MLflow lets no parameter change."""
    return {
        "study.name": name,
        "study.estimator": search.estimator,
        "study.metric": search.metric,
        "study.direction": search.direction,
        "study.sampler": search.sampler,
        "study.pruner": search.pruner,
        "study.seed": search.seed,
        "study.fractions": list(search.fractions),
    }


def _metrics_of(search: Search, result: StudyResult) -> dict[str, float]:
    return {
        f"study.best_{search.metric}": result.best_value,
        "study.best_trial": result.best_trial,
        "study.n_trials": search.n_trials,
        "study.n_complete": result.n_complete,
        "study.n_pruned": result.n_pruned,
        "study.n_failed": result.n_failed,
        "study.seconds": result.seconds,
    }


def _tags_of(
    study: optuna.Study, search: Search, result: StudyResult, journal: Path
) -> dict[str, str]:
    from importlib.metadata import version

    packages = ("optuna", "scikit-learn", "numpy")
    return {
        STUDY_ID: study.user_attrs[STUDY_ID],
        "mlflow_ext.study.best_params": json.dumps(result.best_params)[:8000],
        "mlflow_ext.study.timeout": str(search.timeout),
        "mlflow_ext.study.versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "mlflow_ext.study.journal_sha256": sha256(journal.read_bytes()).hexdigest(),
    }
