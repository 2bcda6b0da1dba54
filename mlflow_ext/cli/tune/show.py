"""``mlflow-ext tune show STUDY``: what was searched and what was found."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import format_option, option
from mlflow_ext.cli._output import emit
from mlflow_ext.cli.tune._studies import (
    describe_summary,
    describe_winner,
    studies_option,
    study_argument,
)

CAUSES = 5


@click.command()
@study_argument
@option(
    "--importances",
    "has_importances",
    is_flag=True,
    help="Also say which parameters set the best trials apart; takes seconds.",
)
@studies_option
@format_option
def command(study: str, has_importances: bool, studies: str) -> None:
    """Show what STUDY searched, what it found and what failed.

    Where fresh rows were scored, the winner is theirs and goes before the best of the search.
    Asks no server. Answers yes when a trial has completed.
    """
    from mlflow_ext.project.search import SEARCH_DEFAULTS
    from mlflow_ext.tuning.attributes import BUDGET, DEFINITION
    from mlflow_ext.tuning.catalog import find_study, summarize_study
    from mlflow_ext.tuning.importances import explain_importances
    from mlflow_ext.tuning.journal import CHANGING
    from mlflow_ext.tuning.leaderboard import count_causes, find_best
    from mlflow_ext.tuning.rescored import read_rescored

    found = find_study(studies, study)
    summary = summarize_study(found)
    best, begun = find_best(found), found.user_attrs.get(DEFINITION)
    defaults = {name: value for name, value in SEARCH_DEFAULTS.items() if name not in CHANGING}
    causes = count_causes(found.get_trials(deepcopy=False))[:CAUSES]
    document = {
        **describe_summary(summary),
        "definition": defaults | begun if begun else {},
        "budget": found.user_attrs.get(BUDGET, {}),
        "best_params": best.params if best else {},
        "winner": describe_winner(read_rescored(found)),
        "failures": [{"trials": count, "cause": cause} for cause, count in causes],
    }
    if has_importances:
        document["importances"] = explain_importances(found, "PED-ANOVA")
    emit(document, is_yes=best is not None)
