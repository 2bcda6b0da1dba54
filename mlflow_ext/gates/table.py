"""A table file read once: its rows, and the fingerprint of exactly those rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedTable:
    """Rows that a gate judges."""

    name: str
    """The file's name without its extension."""
    frame: pd.DataFrame
    fingerprints: dict[str, str]
    """The name -> the content fingerprint of the file, as `fingerprint_file` returns it."""


def read_judged(file: Path) -> JudgedTable:
    """Read a ``.parquet``, ``.csv`` or ``.csv.zip`` file; ``NA`` and empty fields are missing.

    Raises:
        SourceError: The file is missing, truncated or of another format.
        TableError: A column has a type that only Python knows.
    """
    from mlflow_ext.data.files import PARQUET, csv_bytes, extension_of, parse_csv, reading
    from mlflow_ext.data.fingerprint import fingerprint_table

    name = file.name.partition(".")[0]
    with reading(name, file):
        if extension_of(name, file) == PARQUET:
            stored = table = _read_parquet(file)
        else:
            text = csv_bytes(name, file)
            stored, table = parse_csv(text), _parse_with_missing(text)
    fingerprints = {name: fingerprint_table(stored).digest}
    return JudgedTable(name=name, frame=table.to_pandas(), fingerprints=fingerprints)


def read_rows(file: Path) -> pd.DataFrame:
    """Read the rows of a file as `read_judged` does, without fingerprinting them.

    Raises:
        SourceError: The file is missing, truncated or of another format.
    """
    from mlflow_ext.data.files import PARQUET, csv_bytes, extension_of, reading

    name = file.name.partition(".")[0]
    with reading(name, file):
        is_parquet = extension_of(name, file) == PARQUET
        table = _read_parquet(file) if is_parquet else _parse_with_missing(csv_bytes(name, file))
    rows: pd.DataFrame = table.to_pandas()
    return rows


def _read_parquet(file: Path) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(file)


def _parse_with_missing(text: bytes) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    return csv.read_csv(
        pa.BufferReader(text),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=True),  # NA is no tail number
    )
