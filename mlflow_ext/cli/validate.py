"""``mlflow-ext validate SUITE DATA``: judge a table by a suite of expectations."""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_ext.cli._options import format_option
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("suite")
@click.argument("data", type=click.Path(path_type=Path))
@format_option
def command(suite: str, data: Path) -> None:
    """Judge the table DATA (Parquet or CSV) by SUITE, a file or a name in ./expectations/.

    Answers yes when every expectation holds whose severity is not 'warn'.
    """
    from mlflow_ext.gates.expectations import summarise, validate_file
    from mlflow_ext.records import Verdict

    result = validate_file(suite, data)
    emit(summarise(result), is_yes=result.report.verdict is Verdict.PASSED)
