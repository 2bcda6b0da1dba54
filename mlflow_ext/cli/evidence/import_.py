"""``mlflow-ext evidence import MODEL VERSION FILE``: take over what another server knows."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_ext.cli._files import input_type, read_document
from mlflow_ext.cli._options import Ask, ask_gated, format_option, model_argument, version_argument
from mlflow_ext.cli._output import emit


@click.command("import")
@model_argument
@version_argument
@click.argument("file", type=input_type)
@format_option
@ask_gated
def command(ask: Ask, *, model: str, version: int, file: Path) -> None:
    """Import the bundle FILE as evidence about a version.

    The server verifies everything anew: the signatures, and that the files of the version are those
    that were judged.
    """
    bundle = read_document(file, "mlflow-ext evidence export")
    emit(ask("evidence/import", model=model, version=version, bundle=bundle))
