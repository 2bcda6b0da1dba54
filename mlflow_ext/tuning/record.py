"""What a finished study leaves on its MLflow run: plots, pictures, report, tables and figures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import NoTrialCompletedError
from mlflow_ext.tuning import attributes
from mlflow_ext.tuning.attributes import STUDY_ID
from mlflow_ext.tuning.journal import read_search
from mlflow_ext.tuning.leaderboard import make_leaderboard
from mlflow_ext.tuning.mirror.spelling import PARAM_LENGTH, TAG_LENGTH, spell_key, spell_text
from mlflow_ext.tuning.plots import draw_page, draw_pictures, view_objectives
from mlflow_ext.tuning.report import Report, render_report
from mlflow_ext.tuning.rescored import count_finished, read_rescored
from mlflow_ext.tuning.sessions import list_others
from mlflow_ext.tuning.study import summarize

if TYPE_CHECKING:
    import optuna

    from mlflow_ext.project import Search
    from mlflow_ext.tuning.mirror import StudyRun
    from mlflow_ext.tuning.rescored import Rescored
    from mlflow_ext.tuning.study import StudyResult

FOLDER = "study"
LEADERBOARD = f"{FOLDER}/leaderboard.json"
RESCORED = f"{FOLDER}/rescored.json"
RECORD = "mlflow_ext.study.record"
"""Tag that is written last: what the study held when the rest was."""
LOGGED_TABLES = "mlflow.loggedArtifacts"
PACKAGES = ("mlflow-ext", "mlflow", "optuna", "scikit-learn", "numpy")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that is known of a study when it has ended, for now."""

    study: optuna.Study
    search: Search
    result: StudyResult
    journal: Path | None = None
    """The file that holds the study, if it is one; its digest is logged."""

    @property
    def rescored(self) -> Rescored | None:
        """What fresh rows say of the best trials, where there were such rows."""
        return self.result.rescored


def record_study(
    place: StudyRun, study: optuna.Study, search: Search, journal: Path | None = None
) -> None:
    """Leave on the run of a study what is known of it, also when no trial completed.

    Args:
        place: The run of the study.
        study: The study; whatever processes ran its trials.
        search: What was searched.
        journal: The file that holds the study, if it is one.
    """
    state = _state_of(study)  # of a trial that ends from here on, the record may say nothing
    try:
        result = replace(summarize(study), rescored=read_rescored(study))
    except NoTrialCompletedError:
        _log_fruitless(place, study, search)
    else:
        _log_study(place, Findings(study=study, search=search, result=result, journal=journal))
    place.client.set_tag(place.parent_run_id, RECORD, state)


def complete_record(place: StudyRun, study: optuna.Study, journal: Path | None = None) -> bool:
    """Bring what is known of a study onto its run, unless it is there or others still work on it.

    Args:
        place: The run of the study.
        study: The study.
        journal: The file that holds it, if it is one.

    Returns:
        Whether all is there now. It is not while other processes work on the study: the last of
        them writes it; nor where mlflow_ext has not begun the study.
    """
    tags = place.client.get_run(place.parent_run_id).data.tags
    if tags.get(RECORD) == _state_of(study):
        return True
    search = read_search(study)
    if search is None or list_others(study):
        return False
    record_study(place, study, search, journal)
    return True


def list_versions() -> dict[str, str]:
    """Name the versions of the packages that a study depends on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from its sources
            found[package] = "unknown"
    return found


def _state_of(study: optuna.Study) -> str:
    """Digest what a record is about."""
    finished = count_finished(study)
    kept = json.dumps([finished, study.user_attrs.get(attributes.RESCORED)], sort_keys=True)
    return f"{finished} trials, {sha256(kept.encode()).hexdigest()[:16]}"


def _log_study(place: StudyRun, findings: Findings) -> None:
    with TemporaryDirectory() as folder:
        _write_files(Path(folder), findings)
        place.client.log_artifacts(place.parent_run_id, folder, FOLDER)
    _log_values(place, findings)


def _log_fruitless(place: StudyRun, study: optuna.Study, search: Search) -> None:
    """Log what can be learned from a study in which no trial completed: its page, its table."""
    report = Report(study=study, search=search, importances={}, versions=list_versions())
    with TemporaryDirectory() as folder:
        (Path(folder) / "report.html").write_text(render_report(report), encoding="utf-8")
        _write_json(Path(folder) / Path(LEADERBOARD).name, make_leaderboard(study))
        place.client.log_artifacts(place.parent_run_id, folder, FOLDER)


def _write_files(folder: Path, findings: Findings) -> None:
    views = view_objectives(findings.study)
    pictures = draw_pictures(views)
    report = Report(
        study=findings.study,
        search=findings.search,
        rescored=findings.rescored,
        importances=views[0].importances,
        history=next((pictures[name] for name in pictures if name.startswith("history")), None),
        versions=list_versions(),
    )
    (folder / "report.html").write_text(render_report(report), encoding="utf-8")
    (folder / "plots.html").write_text(draw_page(views), encoding="utf-8")
    _write_json(folder / "summary.json", _summary_of(findings))
    _write_json(folder / Path(LEADERBOARD).name, make_leaderboard(findings.study))
    if findings.rescored:
        _write_json(folder / Path(RESCORED).name, _tabulate(findings.rescored))
    (folder / "plots").mkdir()
    for name, picture in pictures.items():
        (folder / "plots" / f"{name}.png").write_bytes(picture)


def _write_json(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")


def _summary_of(findings: Findings) -> dict[str, Any]:
    """Say the result; the best trial is the winner, where fresh rows have chosen one."""
    summary = asdict(findings.result)
    if findings.rescored:
        winner = findings.rescored.winner
        summary |= {"best_trial": winner.trial, "best_params": winner.params}
        summary |= {"best_value": winner.fresh_value}
    return summary


def _tabulate(rescored: Rescored) -> dict[str, Any]:
    columns = ["trial", "search_value", "fresh_value", "low", "high", "is_winner"]
    columns += ["seeds", "excess", "error"]
    rows = [
        [
            one.trial,
            one.search_value,
            one.fresh_value,
            *(one.interval or (None, None)),
            one is rescored.winner,
            list(one.seeds),
            list(one.excess),
            one.error,
        ]
        for one in rescored.trials
    ]
    return {"columns": columns, "data": rows}


def _log_values(place: StudyRun, findings: Findings) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = time.time_ns() // 1_000_000
    place.client.log_batch(
        place.parent_run_id,
        metrics=[Metric(spell_key(k), v, now, 0) for k, v in _metrics_of(findings).items()],
        params=[Param(k, spell_text(v, PARAM_LENGTH)) for k, v in _params_of(findings).items()],
        tags=[RunTag(k, spell_text(v, TAG_LENGTH)) for k, v in _tags_of(place, findings).items()],
    )


def _params_of(findings: Findings) -> dict[str, Any]:
    """What does not change when the study goes on: MLflow lets no parameter change."""
    search = findings.search
    return {
        "study.name": findings.result.name,
        "study.estimator": search.estimator,
        "study.metric": search.metric,
        "study.direction": search.direction,
        "study.sampler": search.sampler,
        "study.pruner": search.pruner,
        "study.seed": search.seed,
        "study.fractions": list(search.fractions),
    }


def _metrics_of(findings: Findings) -> dict[str, float]:
    result, metric = findings.result, findings.search.metric
    return {
        f"study.best_{metric}": result.best_value,
        "study.best_trial": result.best_trial,
        "study.n_trials": findings.search.n_trials,
        "study.n_complete": result.n_complete,
        "study.n_pruned": result.n_pruned,
        "study.n_failed": result.n_failed,
        "study.seconds": result.seconds,
        **(_fresh_metrics(findings.rescored) if findings.rescored else {}),
    }


def _fresh_metrics(rescored: Rescored) -> dict[str, float]:
    winner, name = rescored.winner, f"study.fresh_{rescored.metric}"
    low, high = winner.interval or (None, None)
    found = {
        name: winner.fresh_value,
        f"{name}.low": low,
        f"{name}.high": high,
        "study.optimism": rescored.optimism,
        "study.winner": winner.trial,
    }
    return {key: value for key, value in found.items() if value is not None}


def _tags_of(place: StudyRun, findings: Findings) -> Mapping[str, str]:
    run = place.client.get_run(place.parent_run_id)
    own = [LEADERBOARD, RESCORED] if findings.rescored else [LEADERBOARD]
    others = json.loads(run.data.tags.get(LOGGED_TABLES, "[]"))
    tables = {entry["path"]: entry for entry in others}
    tables |= {path: {"path": path, "type": "table"} for path in own}
    tags = {
        STUDY_ID: findings.study.user_attrs[STUDY_ID],
        "mlflow_ext.study.best_params": json.dumps(_summary_of(findings)["best_params"]),
        "mlflow_ext.study.timeout": str(findings.search.timeout),
        "mlflow_ext.study.versions": ", ".join(f"{k} {v}" for k, v in list_versions().items()),
        # What MLflow shows, and reads, as tables.
        LOGGED_TABLES: json.dumps(list(tables.values())),
    }
    if findings.journal and findings.journal.exists():
        tags["mlflow_ext.study.journal_sha256"] = sha256(findings.journal.read_bytes()).hexdigest()
    return tags
