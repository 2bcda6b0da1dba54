"""Table files, opened by their extension; a damaged one is a `SourceError`."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from mlflow_ext.errors import SourceError, one_of

PARQUET, CSV, ZIPPED_CSV = EXTENSIONS = (".parquet", ".csv", ".csv.zip")
BATCH_ROWS = 131_072
UNREADABLE = (OSError, EOFError, UnicodeError, zipfile.BadZipFile, zlib.error, pa.ArrowException)


def extension_of(name: str, path: Path) -> str:
    """Return which of the readable kinds *path* is, by its name.

    Raises:
        SourceError: It is none of them; *name* is the source in the message.
    """
    found = [ending for ending in EXTENSIONS if path.name.lower().endswith(ending)]
    if not found:
        fix = f"convert {path} or name the file for what it is"
        raise SourceError(name, f"{path} is of an unknown kind", one_of(EXTENSIONS), fix)
    return found[0]


@contextmanager
def reading(name: str, path: Path) -> Iterator[None]:
    """Turn every way in which reading *path* can fail into a `SourceError` for source *name*."""
    try:
        yield
    except UNREADABLE as error:
        found = f"{path} cannot be read: {str(error) or type(error).__name__}"
        fix = f"restore {path}, or point the source at another file"
        raise SourceError(name, found, "a whole, readable file", fix) from None


def open_batches(name: str, path: Path) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """Open a table file of any readable kind: its schema, and its rows batch by batch.

    Parquet is decoded while the batches are consumed; a CSV is read as a whole.

    Raises:
        SourceError: *path* is of an unknown kind or not there.
    """
    if extension_of(name, path) == PARQUET:
        file = parquet.ParquetFile(path)
        return file.schema_arrow, _row_groups(file)
    table = parse_csv(csv_bytes(name, path))
    return table.schema, table.to_batches()


def csv_bytes(name: str, path: Path) -> bytes:
    """Return the text of a ``.csv``, or of the only ``.csv`` inside a ``.csv.zip``.

    Raises:
        SourceError: The archive does not hold exactly one.
    """
    if extension_of(name, path) == CSV:
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if member.endswith(".csv")]
        if len(members) != 1:
            found = f"{path} holds {len(members)} .csv files"
            raise SourceError(name, found, "exactly one", "zip each file on its own")
        return archive.read(members[0])


def parse_csv(text: bytes) -> pa.Table:
    """Parse *text*, of which every row must have as many fields as the header.

    Args:
        text: UTF-8, with a header line.

    Raises:
        pyarrow.ArrowInvalid: A row is too short (a truncated file ends in one) or too long.
    """
    options = csv.ParseOptions(newlines_in_values=True)
    return csv.read_csv(pa.BufferReader(text), parse_options=options)


def _row_groups(file: parquet.ParquetFile) -> Iterator[pa.RecordBatch]:
    # One at a time: asked for all, Arrow keeps the compressed bytes of the whole file.
    for group in range(file.num_row_groups):
        yield from file.iter_batches(BATCH_ROWS, row_groups=[group])
