"""``mlflow-ext tune resume STUDY``: go on with a search."""

from __future__ import annotations

import shlex
from typing import Any

import click

from mlflow_ext.cli._output import emit
from mlflow_ext.cli.tune._launch import launch, launch_options
from mlflow_ext.cli.tune._studies import study_argument


@click.command()
@study_argument
@launch_options
def command(study: str, **words: Any) -> None:
    """Go on with STUDY: what was interrupted, or with a larger budget.

    What is not given here stays as it was when the study last went on: every parameter of the
    project's run, and how the study was begun. Answers no when nothing is left to do: all trials
    that are or were asked for have ended, and the best of them is chosen.
    """
    from mlflow_ext.tracking.address import hide_password
    from mlflow_ext.tuning.attributes import BUDGET
    from mlflow_ext.tuning.catalog import find_study
    from mlflow_ext.tuning.desk import count_done
    from mlflow_ext.tuning.rescored import is_judged

    found = find_study(words["studies"], study)
    done, wanted = count_done(found), words["n_trials"]
    if wanted is None and is_judged(found):
        wanted = found.user_attrs[BUDGET]["n_trials"]
    if wanted is not None and wanted <= done:
        place = ["--studies", hide_password(words["studies"])]
        again = ["mlflow-ext", "tune", "resume", study, *place, "--n-trials", str(done + 10)]
        fix = shlex.join(again)
        emit({"study": study, "finished": done, "n_trials": wanted, "fix": fix}, is_yes=False)
    launch(study, words, is_begun=True)
