"""``mlflow-ext tune resume STUDY``: go on with a search."""

from __future__ import annotations

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

    Everything but the budget stays as it was begun. Answers no when nothing is left to do.
    """
    from mlflow_ext.tuning.attributes import DEFINITION
    from mlflow_ext.tuning.catalog import find_study

    found = find_study(words["studies"], study)
    done = sum(trial.state.is_finished() for trial in found.get_trials(deepcopy=False))
    wanted = words["n_trials"]
    if wanted is not None and wanted <= done:
        fix = f"mlflow-ext tune resume '{study}' --n-trials {done + 10}"
        emit({"study": study, "finished": done, "n_trials": wanted, "fix": fix}, is_yes=False)
    begun = found.user_attrs.get(DEFINITION, {})
    kept = {name: begun[name] for name in ("sampler", "pruner") if name in begun}
    launch(study, {**words, **kept})
