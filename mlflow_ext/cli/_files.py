"""Documents that a command reads from or leaves in a file, where ``-`` is the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

import click

from mlflow_ext.cli._options import option
from mlflow_ext.cli._output import to_json

output_option = option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    metavar="FILE",
    default="-",
    show_default=True,
    help="Where to write it; - is stdout.",
)

input_type = click.Path(exists=True, dir_okay=False, path_type=Path)


def write_document(file: IO[str], document: Any) -> None:
    """Write *document* as indented JSON."""
    file.write(to_json(document) + "\n")


def read_document(file: Path, written_by: str) -> dict[str, Any]:
    """Read the JSON object that the command *written_by* wrote.

    Raises:
        click.UsageError: The file holds no such thing.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise click.UsageError(f"{file} is not what '{written_by}' writes")
    return document
