"""``mlflow-ext erasure list MODEL``: what was erased, and which versions still know it."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import Ask, ask_gated, format_option, model_argument
from mlflow_ext.cli._output import emit


@click.command()
@model_argument
@format_option
@ask_gated
def command(ask: Ask, *, model: str) -> None:
    """List the erasures of MODEL and the versions that know the rows, under whatever name.

    A version knows them when it, or one with the same files, was made from such a table or judged
    on it. Answers yes when none stands in a stage: each is archived, or has none.
    """
    answer = ask("erasures/list", model=model)
    emit(answer, is_yes=answer["is_clean"])
