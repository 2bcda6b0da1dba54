"""The studies that there are, read only: nothing is begun, mended or locked.

A study is looked for in a folder of journals, in a database that Optuna knows, or behind its proxy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import MlflowExtError, SearchError, StoreUnreachableError, UnknownNameError
from mlflow_ext.tracking.address import hide_password
from mlflow_ext.tuning.attributes import DEFINITION, TICKETS
from mlflow_ext.tuning.journal import quiet_optuna
from mlflow_ext.tuning.leaderboard import count_states, find_best, metric_names
from mlflow_ext.tuning.stores import find_cause, journal_file

if TYPE_CHECKING:
    import optuna

# What Optuna raises on lines that are no journal.
UNREADABLE = (ValueError, LookupError, TypeError, AssertionError)


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """One line about a study."""

    name: str
    trials: dict[str, int]
    """State -> how many trials are in it."""
    best: dict[str, float]
    """Objective -> its value in the best trial; empty while there is none."""
    best_trial: int | None
    begun_ms: int | None
    """When its first trial began, in milliseconds since the epoch."""
    ended_ms: int | None
    """When its last finished trial ended."""
    search: str
    """What is searched, in words."""
    problem: str = ""
    """Why nothing of this can be said."""


def list_studies(place: str) -> list[StudySummary]:
    """Describe every study in *place*, the one that began last first.

    Args:
        place: A folder of journals, or the URL of a database.

    Raises:
        StoreUnreachableError: It is not there.
    """
    found: list[StudySummary] = []
    for source in _sources(place):
        try:
            found += map(summarize_study, _load(source))
        except MlflowExtError as error:
            if "://" in source:  # there is no other
                raise
            found.append(_unreadable(source, error))
    return sorted(found, key=lambda summary: -(summary.begun_ms or 0))


def find_study(place: str, name: str) -> optuna.Study:
    """Open study *name*, to read it.

    Args:
        place: A folder of journals, or the URL of a database.
        name: Name of the study.

    Raises:
        UnknownNameError: It is not there; the nearest name is told.
        SearchError: Its journal is damaged.
        StoreUnreachableError: The place is not there.
    """
    file = journal_file(name, Path(place))
    for study in _load(str(file)) if file.exists() else _readable_studies(place):
        if study.study_name == name:
            return study
    known = [summary.name for summary in list_studies(place) if not summary.problem]
    raise UnknownNameError("study", name, known, hide_password(str(place)))


def read_journal(file: str) -> optuna.Study:
    """Open the study of one journal, to read it.

    Raises:
        SearchError: The journal is damaged, or holds no study.
    """
    studies = _load(file)
    if not studies:
        raise SearchError(f"{file} holds no study", "a journal of Optuna", "choose another file")
    return studies[0]


def summarize_study(study: optuna.Study) -> StudySummary:
    """Describe *study* in one line."""
    trials = study.get_trials(deepcopy=False)
    best = find_best(study)
    begun = [t.datetime_start.timestamp() for t in trials if t.datetime_start]
    ended = [t.datetime_complete.timestamp() for t in trials if t.datetime_complete]
    return StudySummary(
        name=study.study_name,
        trials=count_states(trials),
        best=dict(zip(metric_names(study), best.values, strict=True)) if best else {},
        best_trial=best.number if best else None,
        begun_ms=round(min(begun) * 1000) if begun else None,
        ended_ms=round(max(ended) * 1000) if ended else None,
        search=_describe(study.user_attrs.get(DEFINITION, {})),
    )


def _describe(definition: dict[str, Any]) -> str:
    """Say what is searched: the estimator and its parameters."""
    if not definition:
        return "begun without mlflow_ext"
    space = [key.partition("space.")[2] for key in definition if key.startswith("space.")]
    estimator = definition["estimator"].rpartition(".")[2]
    return f"{estimator}({', '.join(space)})"


def _sources(place: str) -> list[str]:
    """List the journals of a folder; a database is one source itself."""
    if "://" in place:
        return [place]
    folder = Path(place)
    if not folder.is_dir():
        fix = "run a search here, or name another folder with --studies"
        raise StoreUnreachableError("folder of studies", place, "there is no such folder", fix)
    return [str(file) for file in sorted(folder.glob("*.journal"))]


def _readable_studies(place: str) -> Iterator[optuna.Study]:
    for source in _sources(place):
        with suppress(*([] if "://" in source else [MlflowExtError])):  # it may be in another
            yield from _load(source)


def _load(source: str) -> list[optuna.Study]:
    """Open every study of a journal or a database."""
    import optuna

    with quiet_optuna(), _reading(source):
        storage = _open_storage(source)
        names = optuna.get_all_study_names(storage)
        studies = [
            optuna.load_study(study_name=name, storage=storage)
            for name in names
            if not name.startswith(TICKETS)
        ]
        for study in studies:
            study.get_trials(deepcopy=False)  # a database is asked here
        return studies


def _open_storage(source: str) -> optuna.storages.BaseStorage:
    import optuna

    from mlflow_ext.tuning.proxy import is_proxy, open_proxy

    if is_proxy(source):
        return open_proxy(source)
    if "://" in source:
        return optuna.storages.RDBStorage(source, skip_table_creation=True)
    # Optuna's own: the one that searches use cuts off a torn line, which a reader has no right to.
    backend = optuna.storages.journal.JournalFileBackend(source)
    return optuna.storages.JournalStorage(backend)


@contextmanager
def _reading(source: str) -> Iterator[None]:
    try:
        yield
    except MlflowExtError:
        raise
    except UNREADABLE as error:
        if "://" in source:
            raise _unreachable(source, error) from error
        found = f"the study journal {source} is damaged: {error!r}"
        fix = "restore it from a backup; its finished trials are still in MLflow"
        raise SearchError(found, "one JSON object a line", fix) from error
    except Exception as error:
        raise _unreachable(source, error) from error


def _unreachable(source: str, error: Exception) -> StoreUnreachableError:
    where, cause = hide_password(source), find_cause(error)
    return StoreUnreachableError("place of studies", where, cause, "correct --studies")


def _unreadable(source: str, error: MlflowExtError) -> StudySummary:
    return StudySummary(
        name=Path(source).stem,
        trials={},
        best={},
        best_trial=None,
        begun_ms=None,
        ended_ms=None,
        search="",
        problem=error.found,
    )
