"""``mlflow-ext erasure record MODEL``: rows about a person are gone from the data of a model."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import (
    Ask,
    ask_gated,
    format_option,
    model_argument,
    option,
    reason_option,
)
from mlflow_ext.cli._output import emit


@click.command()
@model_argument
@option(
    "--request",
    required=True,
    metavar="NUMBER",
    help="Number of the request; the ledger is kept for ever, so no name and no address.",
)
@option(
    "--fingerprint",
    "fingerprints",
    multiple=True,
    required=True,
    help="Of a table with the rows, as 'mlflow-ext data fingerprint' says; several times for more.",
)
@option("--rows", type=click.IntRange(min=0), required=True, help="How many rows were erased.")
@reason_option
@format_option
@ask_gated
def command(
    ask: Ask, *, model: str, request: str, fingerprints: tuple[str, ...], rows: int, reason: str
) -> None:
    """Record in the ledger that rows were erased from data of MODEL.

    Erase them first. 'erasure list' then names the versions that know them.
    """
    words = {"request": request, "fingerprints": list(fingerprints), "reason": reason}
    emit(ask("erasures/record", model=model, rows=rows, **words))
