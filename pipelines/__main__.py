"""``python -m pipelines STEP``: a click command for every step, each with the same options."""

from __future__ import annotations

import os
from contextlib import suppress

import click

ENVIRONMENT = {
    # One thread: equal figures on every machine, and threads that wait for each other on shared
    # cores made a fit of 7 seconds take 200.
    "OMP_NUM_THREADS": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for the summary
}
SENTENCES = {
    "ingest": "Read the sources and store the months asked for as versioned tables.",
    "validate": "Judge the raw tables by their Great Expectations suites.",
    "features": "Join the sources into the training table and judge it by its suite.",
    "tune": "Search for the best parameters; every trial becomes a child run.",
    "train": "Fit the model with the best parameters and log it.",
    "evaluate": "Measure the model on validation and holdout, overall and by slice.",
    "register": "Make the model a version of the registered model, with its card.",
    "gate": "Judge the version: data, KPIs, and the champion on the same holdout.",
    "promote": "Move the version to Staging and Production if its gates allow it.",
    "main": "Run every step, from the sources to Production.",
}


def step_command(step: str) -> click.Command:
    """Build the command that runs every step up to and including *step*."""

    @click.command(step, help=SENTENCES[step])
    @click.option("--through", default="2013-06", help="Last month of data, YYYY-MM.")
    @click.option("--reuse", type=bool, default=True, help="Reuse what has already succeeded.")
    @click.option("--n-trials", type=whole_number, help="Trials in all; default: project.yaml.")
    @click.option("--timeout", type=float, help="Seconds to search; default: project.yaml.")
    @click.option("--workers", type=whole_number, help="Processes; default: project.yaml.")
    @click.option("--engine", help="processes or spark; default: project.yaml.")
    @click.option("--sampler", help="tpe, cmaes, random …; default: project.yaml.")
    @click.option("--pruner", help="median, hyperband, none …; default: project.yaml.")
    @click.option("--study", default="", help="Study to start or continue; default: by its inputs.")
    def command(**options: object) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)  # read when the libraries are imported, below
        from pipelines.main import run

        last = "promote" if step == "main" else step
        raise SystemExit(run(last, options))

    return command


def whole_number(text: str) -> int | None:
    """Read a whole number above 0; MLflow hands over 12 as ``12`` or ``12.0``, and none as none.

    Raises:
        click.BadParameter: It is something else.

    >>> whole_number("12.0")
    12
    """
    if not text:
        return None
    with suppress(ValueError):
        if float(text) >= 1 and float(text).is_integer():
            return int(float(text))
    raise click.BadParameter(f"{text!r} is not a whole number above 0")


commands = click.Group(
    "pipelines",
    commands=[step_command(step) for step in SENTENCES],
    help="Run the flights pipeline up to one of its steps; what has succeeded is reused.",
)

if __name__ == "__main__":
    commands()
