"""``mlflow-ext validate SUITE DATA``: judge a table by a suite of expectations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlflow_ext.cli._options import format_option, option
from mlflow_ext.cli._output import emit

if TYPE_CHECKING:
    from mlflow_ext.gates.expectations import ExpectationsResult
    from mlflow_ext.gates.suites.engines.interface import TableSource


@click.command()
@click.argument("suite")
@click.argument("data")
@option(
    "--engine",
    type=click.Choice(("auto", "gx", "compiled", "sql", "spark")),
    default="auto",
    show_default="compiled for files, sql for databases",
    help="What runs the suite; the verdict is the same.",
)
@option(
    "--quarantine",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy the rows of a file that break a blocking rule to FOLDER, as Parquet.",
)
@option(
    "--docs",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the Data Docs, one HTML page that needs no network.",
)
@format_option
def command(suite: str, data: str, engine: str, quarantine: Path | None, docs: Path | None) -> None:
    """Judge the table DATA by SUITE, a file or a name in ./expectations/.

    DATA is a Parquet or CSV file, for Spark also a folder of Parquet files, or a table of a
    database: DIALECT://USER:PASSWORD@HOST/DATABASE#SCHEMA.TABLE. The content of files is
    fingerprinted, that of folders and databases is not.

    Answers yes when every expectation holds whose severity is not 'warn'.
    """
    from mlflow_ext.gates.expectations import summarise
    from mlflow_ext.gates.suites.engines.choice import source_of
    from mlflow_ext.records import Verdict

    source = source_of(data)
    if quarantine is not None:
        _check_quarantine(source)
    result = _judge(suite, source, engine)
    written: dict[str, Any] = {}
    if quarantine is not None:
        written["quarantine"] = _quarantine(result, quarantine)
    if docs is not None:
        docs.write_text(result.data_docs, encoding="utf-8")
        written["docs"] = str(docs)
    emit({**summarise(result), **written}, is_yes=result.report.verdict is Verdict.PASSED)


def _check_quarantine(source: TableSource) -> None:
    from mlflow_ext.errors import SourceError

    if isinstance(source.location, str) or _is_folder(source):
        found, fix = "rows can only be copied out of a file", "leave --quarantine out"
        raise SourceError(source.name, found, "a Parquet or CSV file", fix)


def _judge(suite: str, source: TableSource, engine: str) -> ExpectationsResult:
    from mlflow_ext.gates.expectations import judge_source, locate_suite, validate_file
    from mlflow_ext.gates.suites.document import read_suite

    if isinstance(source.location, Path) and not _is_folder(source):
        return validate_file(suite, source.location, engine=engine)
    return judge_source(read_suite(locate_suite(suite)), source, fingerprints={}, engine=engine)


def _is_folder(source: TableSource) -> bool:
    return isinstance(source.location, Path) and source.location.is_dir()


def _quarantine(result: ExpectationsResult, folder: Path) -> dict[str, Any] | None:
    from mlflow_ext.gates.suites.quarantine import quarantine

    found = quarantine(result.document, result.source, folder)
    return {"file": str(found.file), "rows": found.rows} if found else None
