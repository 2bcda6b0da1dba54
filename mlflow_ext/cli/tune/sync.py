"""``mlflow-ext tune sync STUDY``: bring MLflow to what the study says."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_ext.cli._options import format_option, option, tracking_uri_option
from mlflow_ext.cli._output import emit
from mlflow_ext.cli.tune._studies import studies_option, study_argument


@click.command()
@study_argument
@option(
    "--experiment",
    metavar="NAME",
    help="Where to begin a run for the study, if this server does not know its run.",
)
@studies_option
@tracking_uri_option
@format_option
def command(study: str, experiment: str | None, studies: str, tracking_uri: str | None) -> None:
    """Bring MLflow to what STUDY says: its trials, its record, the ends of its runs.

    Makes, ends, moves or removes child runs until there is one for each finished trial. Unless the
    study goes on, its plots, tables and figures are brought to its run, too; runs that a process
    has left behind RUNNING when it died are ended. May be called any number of times, after any
    crash, also while the study goes on.
    """
    from mlflow_ext.registry.connection import check_answers, connect, reaching
    from mlflow_ext.tuning.catalog import find_study
    from mlflow_ext.tuning.mirror import sync
    from mlflow_ext.tuning.record import complete_record
    from mlflow_ext.tuning.sessions import end_dead_runs
    from mlflow_ext.tuning.stores import journal_file
    from mlflow_ext.tuning.study_run import find_study_run

    found = find_study(studies, study)
    client = connect(tracking_uri)
    check_answers(client)
    with reaching(client):
        place = find_study_run(client, found, studies, experiment)
        changed = sync(place, found)
        file = None if "://" in studies else journal_file(study, Path(studies))
        has_record = complete_record(place, found, file)
        ended = end_dead_runs(client, found)
    finished = sum(trial.state.is_finished() for trial in found.get_trials(deepcopy=False))
    document = {
        "study": study,
        "run": place.parent_run_id,
        "trials": finished,
        "changed": changed,
        "has_record": has_record,
        "ended": ended,
    }
    emit(document)
