"""Begin a study where its truth lies, or go on with it; never with another search."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import SearchError, StoreUnreachableError
from mlflow_ext.settings import validate
from mlflow_ext.tuning.attributes import BUDGET, DEFINITION, FIRST, STUDY_ID
from mlflow_ext.tuning.stores import StudyStore, find_store, journal_file, reaching

if TYPE_CHECKING:
    import optuna

    from mlflow_ext.project import Search

__all__ = [
    "begin_study",
    "journal_file",
    "keep_budget",
    "open_store",
    "open_study",
    "quiet_optuna",
    "read_search",
]

SPACE = "space."
# How and how long to search, not what to search: these may differ when a study goes on.
CHANGING = ("n_trials", "timeout", "workers", "engine", "storage", "rescore")


def open_study(search: Search, name: str, storage_dir: Path) -> optuna.Study:
    """Begin study *name*, or go on with it.

    Args:
        search: What is searched; must be what the study was begun with, but for its budget.
        name: Any text but none.
        storage_dir: Folder of the journals; made when missing.

    Returns:
        The study, on its journal or database.

    Raises:
        SearchError: The study was begun with another search, has no name, or its journal is
            damaged.
        StoreUnreachableError: The folder cannot be written, or the database does not answer.
    """
    return begin_study(open_store(search, name, storage_dir), search, name)


def open_store(search: Search, name: str, storage_dir: Path) -> StudyStore:
    """Open the place of study *name*. Arguments and errors are those of `open_study`."""
    if not name:  # Optuna would invent one, and never find it again
        raise SearchError("the name of the study is empty", "any text", "choose a study name")
    where = "the database" if search.storage else str(journal_file(name, storage_dir))
    with quiet_optuna(), _readable(where):
        store = find_store(search, name, storage_dir)
        assert store.storage  # Optuna reads the journal, or asks the database, here
        return store


def begin_study(
    store: StudyStore, search: Search, name: str, first: Sequence[Mapping[str, Any]] = ()
) -> optuna.Study:
    """Begin study *name* in *store*, or go on with it.

    Args:
        store: Where it lies.
        search: What is searched.
        name: Name of the study.
        first: Points to try before any other; kept when the study begins.

    Raises:
        SearchError: The study was begun with another search.
    """
    import optuna

    with quiet_optuna(), _readable(store.where), store.exclusive():
        study = optuna.create_study(
            storage=store.storage,
            study_name=name,
            directions=[aim.direction for aim in search.aims],
            load_if_exists=True,
        )
        if DEFINITION not in study.user_attrs:
            _define(study, search, first)
        else:
            _check_definition(study, search, store)
    return study


def keep_budget(study: optuna.Study, search: Search) -> None:
    """Remember in *study* how many trials, and in how much time, were last asked for."""
    study.set_user_attr(BUDGET, {"n_trials": search.n_trials, "timeout": search.timeout})


def read_search(study: optuna.Study) -> Search | None:
    """Return the search that *study* was begun with, and the budget that was last asked for.

    Returns:
        None where mlflow_ext has not begun the study, or a release that knows other searches.
    """
    from pydantic import ValidationError

    from mlflow_ext.project import Search

    definition = study.user_attrs.get(DEFINITION, {})
    values = {key: value for key, value in definition.items() if not key.startswith(SPACE)}
    values["space"] = {
        key.removeprefix(SPACE): value for key, value in definition.items() if key.startswith(SPACE)
    }
    budget = study.user_attrs.get(BUDGET, {"n_trials": len(study.get_trials(deepcopy=False)) or 1})
    try:
        return validate(Search, values | budget)
    except ValidationError:
        return None


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let Optuna say warnings only, and none about its experimental parts."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # What comes in its place is not in every release that we allow.
            warnings.filterwarnings("ignore", ".*constraints_func", FutureWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        with reaching(where):
            yield
    except OSError as error:
        what = "study journal" if where.endswith(".journal") else "study database"
        fix = "choose a folder that can be written"
        raise StoreUnreachableError(what, where, str(error), fix) from error
    except (ValueError, KeyError) as error:
        found = f"the study journal {where} is damaged: {error!r}"
        raise SearchError(found, "one JSON object a line", "choose another study name") from error


def _define(study: optuna.Study, search: Search, first: Sequence[Mapping[str, Any]]) -> None:
    study.set_user_attr(STUDY_ID, uuid.uuid4().hex)
    study.set_user_attr(FIRST, [dict(point) for point in first])
    # Last: what a database holds without it was cut off, and is begun anew.
    study.set_user_attr(DEFINITION, _definition(search))


def _check_definition(study: optuna.Study, search: Search, store: StudyStore) -> None:
    begun, wanted = study.user_attrs[DEFINITION], _definition(search)
    differing = [key for key in {**begun, **wanted} if begun.get(key) != wanted.get(key)]
    if differing:
        shown = "; ".join(f"{k} was {_say(begun, k)}, is {_say(wanted, k)}" for k in differing)
        raise SearchError(
            f"study '{study.study_name}' in {store.where} exists, with {len(study.trials)} trials, "
            f"and was begun with another search: {shown}",
            "the search it was begun with, to extend it: more n_trials, timeout or workers",
            f"choose another study name, such as '{_next_name(study.study_name)}'",
        )


def _say(definition: Mapping[str, Any], key: str) -> str:
    from mlflow_ext.project.search import SEARCH_DEFAULTS

    value = definition.get(key, SEARCH_DEFAULTS.get(key))
    return "not set" if value in (None, [], {}) else str(value)


def _next_name(name: str) -> str:
    """Name the study that follows *name*.

    >>> _next_name("late flights"), _next_name("late flights-9")
    ('late flights-2', 'late flights-10')
    """
    stem, dash, number = name.rpartition("-")
    return f"{stem}-{int(number) + 1}" if dash and number.isdecimal() else f"{name}-2"


def _definition(search: Search) -> dict[str, Any]:
    """The search as JSON gives it back, so that it compares equal to what a journal holds.

    What has its default is left out: a later release may know more than this one does.
    """
    values = {**_stated(search), "seed": search.seed}
    space = {f"{SPACE}{name}": _stated(parameter) for name, parameter in search.space.items()}
    del values["space"]
    found: dict[str, Any] = json.loads(json.dumps({**values, **space}))
    return found


def _stated(record: Any) -> dict[str, Any]:
    values = asdict(record)
    defaults = {field.name: field.default for field in fields(record)}
    return {k: v for k, v in values.items() if k not in CHANGING and v not in (defaults[k], {}, ())}
