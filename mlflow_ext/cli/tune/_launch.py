"""A search as a run of the MLflow project in the current folder, and what it came to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from mlflow_ext.cli._options import format_option, option, tracking_uri_option
from mlflow_ext.cli._output import emit, say
from mlflow_ext.cli.tune._earlier import ENTRY_POINT, earlier_parameters
from mlflow_ext.cli.tune._studies import describe_summary, studies_option
from mlflow_ext.interruption import interrupted_by_sigterm

if TYPE_CHECKING:
    from mlflow_ext.tuning.catalog import StudySummary

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])
STDOUT, STDERR = 1, 2

OPTIONS = (
    option("--n-trials", type=click.IntRange(min=1), help="Trials in all, earlier ones included."),
    option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds to search."),
    option("--workers", type=click.IntRange(min=1), help="How many run trials side by side."),
    option("--engine", metavar="NAME", help="What runs the workers: processes or spark."),
    option(
        "--param",
        "-P",
        "params",
        metavar="NAME=VALUE",
        multiple=True,
        help="Another parameter of the entry point 'tune'; may be given several times.",
    ),
    option("--experiment", metavar="NAME", help="The experiment of the run."),
    studies_option,
    tracking_uri_option,
    format_option,
)


def launch_options(callback: AnyCallable) -> AnyCallable:
    """Add the options that every launch of a search has."""
    for add in reversed(OPTIONS):
        callback = add(callback)
    return callback


def launch(study: str, words: Mapping[str, Any], *, is_begun: bool = False) -> NoReturn:
    """Run the entry point ``tune`` of the project here, and answer with what was found.

    Args:
        study: Name of the study; empty leaves the name to the project.
        words: Values of `launch_options`, with further parameters of the entry point.
        is_begun: Whether what *words* do not say stays as it was when the study last went on.

    Raises:
        SearchError: There is no project here, or a parameter is not ``NAME=VALUE``.
        StoreUnreachableError: The tracking store does not answer.
        click.exceptions.Exit: With 0 when the search ended well, with 1 when it found nothing.
    """
    from mlflow_ext.errors import SearchError
    from mlflow_ext.tuning.stores import encode_name

    if not Path("MLproject").is_file():
        found = f"{Path.cwd()} holds no MLproject"
        fix = "change to the folder of the project"
        raise SearchError(found, f"a project with an entry point '{ENTRY_POINT}'", fix)
    encode_name(study)
    place, parameters = words["studies"], _parameters(study, words)
    before = {} if study else _stamps(place)
    with _reaching_store(words["tracking_uri"]), interrupted_by_sigterm():
        kept = earlier_parameters(place, study) if is_begun else {}
        run, has_ended_well = _run_project({**kept, **parameters}, words["experiment"])
    summary = _find_summary(place, study, before)
    document = {"run": run, "has_ended_well": has_ended_well}
    if summary:
        document |= describe_summary(summary) | _first_error(place, summary)
    elif has_ended_well:
        say("no study has changed: the project has reused an earlier search")
    if not has_ended_well and not (summary and _found_nothing(summary)):
        say("the run has failed before there was an answer; see what it said above")
        raise click.exceptions.Exit(2)
    emit(document, is_yes=has_ended_well)


def _parameters(study: str, words: Mapping[str, Any]) -> dict[str, str]:
    from mlflow_ext.errors import SearchError

    pairs = [text.partition("=") for text in words["params"]]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise SearchError(f"the parameter '{name}'", "NAME=VALUE", "write -P NAME=VALUE")
    own = ("n_trials", "timeout", "workers", "engine", "sampler", "pruner")
    given = {name: str(words[name]) for name in own if words.get(name) is not None}
    named = {"study": study} if study else {}
    return {**{name: value for name, _, value in pairs}, **given, **named}


@contextmanager
def _reaching_store(tracking_uri: str | None) -> Iterator[None]:
    """Say at once and in one message that there is nowhere to track a run."""
    import mlflow

    from mlflow_ext.registry.connection import check_answers, probe_database, reaching_address

    if tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite:"):  # MLflow makes a file that is not there
        probe_database(uri)
    with reaching_address(uri):
        check_answers(mlflow.MlflowClient())
        yield


def _run_project(parameters: dict[str, str], experiment: str | None) -> tuple[str | None, bool]:
    """Return the id of the run, and whether it ended well."""
    import mlflow
    from mlflow.exceptions import ExecutionException

    # The project's `python` is ours, also where nobody has activated its environment.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        with _stdout_for_documents():
            run = mlflow.projects.run(  # type: ignore[no-untyped-call]
                ".",
                ENTRY_POINT,
                parameters=parameters,
                env_manager="local",
                experiment_name=experiment,
            )
    except ExecutionException as error:
        named = re.search(r"Run \(ID '(\w+)'\)", str(error))
        if not named:
            say(str(error))
        return named and named[1], False
    return run.run_id, True


@contextmanager
def _stdout_for_documents() -> Iterator[None]:
    """Let what the project prints go to stderr."""
    sys.stdout.flush()
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        yield
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)


def _stamps(place: str) -> dict[str, int]:
    """Journal, or study in a database -> when it was last written."""
    from mlflow_ext.errors import StoreUnreachableError
    from mlflow_ext.tuning.catalog import list_studies

    if "://" not in place:
        return {str(file): file.stat().st_mtime_ns for file in Path(place).glob("*.journal")}
    try:
        return {found.name: found.ended_ms or 0 for found in list_studies(place)}
    except StoreUnreachableError:  # nobody has made its tables yet
        return {}


def _find_summary(place: str, study: str, before: Mapping[str, int]) -> StudySummary | None:
    """Describe the study that the run worked on: the one named, else the one that has changed."""
    from mlflow_ext.errors import MlflowExtError
    from mlflow_ext.tuning.catalog import find_study, read_journal, summarize_study

    if study:
        try:
            return summarize_study(find_study(place, study))
        except MlflowExtError:  # the run has ended before it began
            return None
    after = _stamps(place)
    changed = [file for file, stamp in after.items() if before.get(file) != stamp]
    newest = max(changed, key=lambda file: after[file], default=None)
    if newest is None:
        return None
    return summarize_study(find_study(place, newest) if "://" in place else read_journal(newest))


def _found_nothing(summary: StudySummary) -> bool:
    """Tell a search that was carried out to its end from one that was cut off."""
    is_over = summary.trials and not {"running", "waiting"} & summary.trials.keys()
    return bool(is_over) and not summary.best


def _first_error(place: str, summary: StudySummary) -> dict[str, str]:
    from mlflow_ext.tuning.attributes import ERROR
    from mlflow_ext.tuning.catalog import find_study

    trials = find_study(place, summary.name).get_trials(deepcopy=False)
    errors = [trial.user_attrs[ERROR] for trial in trials if ERROR in trial.user_attrs]
    return {"first_error": errors[0]} if errors else {}
