"""``mlflow-ext tune best STUDY``: the trials that did best."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import format_option, option
from mlflow_ext.cli._output import emit
from mlflow_ext.cli.tune._studies import describe_winner, studies_option, study_argument


@click.command()
@study_argument
@option(
    "--top",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many trials to show, best first.",
)
@studies_option
@format_option
def command(study: str, top: int, studies: str) -> None:
    """Show the parameters and values of the best trials of STUDY.

    Where fresh rows were scored, the trial that won there comes first; then those that the search
    preferred, with several objectives those of the Pareto front first. Their values are those of
    the search, which promise too much. Answers no when no trial has completed.
    """
    from mlflow_ext.tuning.catalog import find_study
    from mlflow_ext.tuning.leaderboard import front_numbers, metric_names, usable_trials
    from mlflow_ext.tuning.rescored import read_rescored

    found = find_study(studies, study)
    names, front, rescored = metric_names(found), front_numbers(found), read_rescored(found)
    won = rescored and rescored.winner.trial
    trials = sorted(usable_trials(found), key=lambda trial: trial.number != won)
    rows = [
        {
            "trial": trial.number,
            **dict(zip(names, trial.values, strict=True)),
            **({"front": trial.number in front} if front else {}),
            "params": trial.params,
        }
        for trial in trials[:top]
    ]
    document = {"study": study, "trials": rows, "winner": describe_winner(rescored)}
    emit(document, is_yes=bool(rows))
