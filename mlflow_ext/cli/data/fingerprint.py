"""``mlflow-ext data fingerprint PATH``: the content-true identity of a table."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_ext.cli._options import format_option, option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@option("--unordered", is_flag=True, help="Do not count the order of rows.")
@format_option
def command(path: Path, unordered: bool) -> None:
    """Print the identity of the table at PATH.

    Every row, column and type counts; the layout of the file (Parquet or CSV) does not.
    """
    from mlflow_ext.data.fingerprint import fingerprint_file
    from mlflow_ext.records import to_dict

    emit(to_dict(fingerprint_file(path, ordered=not unordered)))
