"""The identity of a table's content: every row, every column, every type, whatever file holds it.

What counts: names and order of columns, logical types (``int32`` is not ``int64``, a time zone or
a unit matters), the number of rows, every value, and, unless asked otherwise, the order of rows.
Null and NaN differ, as they do in Arrow (a plain pandas float column has only one missing value,
which is null); ``-0.0`` differs from ``0.0``; all NaN are one NaN. What does not count: see
`mlflow_ext.data.canonical`. A pandas frame is fingerprinted as the Parquet file pandas would write:
a `RangeIndex` is no column, any other index is one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mlflow_ext.data.canonical import logical_type
from mlflow_ext.data.columns import ColumnDigest
from mlflow_ext.data.files import open_batches, reading
from mlflow_ext.data.rows import RowsDigest
from mlflow_ext.errors import TableError
from mlflow_ext.records import ColumnFingerprint, TableFingerprint

if TYPE_CHECKING:
    import pandas as pd

# Part of every digest: a change of the algorithm must change this, and with it every digest.
ALGORITHM = "mlflow-ext-table-1"
GROUP_BYTES = 64 * 2**20


def fingerprint_table(table: pa.Table | pd.DataFrame, *, ordered: bool = True) -> TableFingerprint:
    """Fingerprint a table in memory.

    Args:
        table: Any number of rows, also none.
        ordered: False: the same rows in any order have the same fingerprint; duplicates count.

    Raises:
        TableError: A column has no Arrow type, or one that only Python knows.

    >>> one, other = pa.table({"a": ["x", "y"]}), pa.table({"a": ["x", "z"]})
    >>> fingerprint_table(one) == fingerprint_table(other)
    False
    """
    arrow = to_arrow(table)
    return _fingerprint(arrow.schema, [arrow], ordered)


def fingerprint_file(path: Path, *, ordered: bool = True) -> TableFingerprint:
    """Fingerprint a ``.parquet``, ``.csv`` or ``.csv.zip`` file.

    Parquet is streamed in bounded memory. The types of a CSV are those that Arrow infers.

    Raises:
        SourceError: The file is missing, truncated or of another kind.
        TableError: A column has a type that only Python knows.
    """
    with reading(str(path), path):
        schema, batches = open_batches(str(path), path)
        return fingerprint_batches(schema, batches, ordered=ordered)


def fingerprint_batches(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, ordered: bool = True
) -> TableFingerprint:
    """Fingerprint a stream of batches; how rows are cut into batches does not matter.

    Args:
        schema: Columns of every batch.
        batches: Consumed once, one at a time.
        ordered: False: the same rows in any order have the same fingerprint; duplicates count.

    Raises:
        TableError: A batch has other columns than *schema*, or a type that only Python knows.
    """
    return _fingerprint(schema, _grouped(_matching(schema, batches)), ordered)


def to_arrow(table: pa.Table | pd.DataFrame) -> pa.Table:
    """Return *table* as Arrow, a frame with the columns that `DataFrame.to_parquet` would write.

    Raises:
        TableError: A column mixes types, or two columns have the same name.
    """
    if isinstance(table, pa.Table):
        return table
    try:
        return pa.Table.from_pandas(table)
    except (pa.ArrowException, ValueError, TypeError) as error:
        cause = " ".join(str(part) for part in error.args)
        raise TableError(
            "pandas frame", cause, "unique names, one type per column", "convert it with .astype()"
        ) from None


def _describe(schema: pa.Schema) -> list[tuple[str, str]]:
    return [(field.name, logical_type(field.type)) for field in schema]


def _matching(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    expected = _describe(schema)
    for batch in batches:
        found = _describe(batch.schema)
        if found != expected:
            fix = "give the schema of the batches"
            raise TableError("stream of batches", f"columns {found}", f"{expected}", fix)
        yield batch


def _grouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Hand threads enough at once: with small batches they would mostly wait for each other."""
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        group.append(batch)
        size += batch.nbytes
        if size >= GROUP_BYTES:
            yield pa.Table.from_batches(group)
            group, size = [], 0
    if group:
        yield pa.Table.from_batches(group)


def _fingerprint(schema: pa.Schema, tables: Iterable[pa.Table], ordered: bool) -> TableFingerprint:
    digest = _digest_in_order if ordered else _digest_any_order
    rows, digests, content = digest(schema, tables)
    columns = tuple(
        ColumnFingerprint(name=name, dtype=dtype, digest=digest)
        for (name, dtype), digest in zip(_describe(schema), digests, strict=True)
    )
    # JSON, because it tells every list of strings from every other.
    whole = json.dumps([ALGORITHM, ordered, rows, [astuple(c) for c in columns], content])
    sealed = hashlib.sha256(whole.encode()).hexdigest()
    return TableFingerprint(digest=sealed, rows=rows, ordered=ordered, columns=columns)


def _digest_in_order(schema: pa.Schema, tables: Iterable[pa.Table]) -> tuple[int, list[str], str]:
    running = [ColumnDigest(field.type) for field in schema]
    rows = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for table in tables:
            rows += table.num_rows
            # hashlib and Arrow release the GIL: columns are hashed side by side.
            list(pool.map(ColumnDigest.update, running, table.columns))
    return rows, [column.hexdigest() for column in running], ""


def _digest_any_order(schema: pa.Schema, tables: Iterable[pa.Table]) -> tuple[int, list[str], str]:
    running = RowsDigest()
    rows = 0
    for table in tables:
        rows += table.num_rows
        running.update(table)
    return rows, [""] * len(schema), running.hexdigest()
