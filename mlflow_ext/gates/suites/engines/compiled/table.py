"""The table that is judged, wherever it is, and how its rows are read in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import SourceError
from mlflow_ext.gates.suites.engines.compiled.kinds import Column, kind_of, shared_values

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# Cells read at once: enough to keep all threads busy, and a bound on memory whatever the rows.
BATCH_CELLS, BATCH_ROWS = 2_500_000, 500_000
WINDOW = 100_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Consecutive rows."""

    offset: int
    """Position of the first one in the table."""
    frame: pl.DataFrame


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """A table that can be read in pieces, any number of times."""

    name: str
    columns: dict[str, Column]
    """Every column, in order."""
    rows: int
    lazy: pl.LazyFrame
    """The columns whose values pandas and Polars share."""
    load: Callable[[list[str] | None], pd.DataFrame]
    """Reads whole columns for pandas; None means all."""
    pick: Callable[[Sequence[int]], pd.DataFrame]
    """Reads all columns of the rows at some positions, which ascend."""

    def batches(self, columns: Collection[str]) -> Iterator[Batch]:
        """Read *columns* batch by batch; the next one is decoded while this one is judged."""
        import polars as pl

        size = max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, len(columns))))
        wanted = self.lazy.select(pl.col(sorted(columns)))
        with ThreadPoolExecutor(1) as pool:
            starts = range(0, self.rows, size)
            coming = pool.submit(wanted.slice(0, size).collect)
            for start in starts:
                frame = self._refuse_damage(coming.result)
                if start + size < self.rows:
                    coming = pool.submit(wanted.slice(start + size, size).collect)
                yield Batch(offset=start, frame=frame)

    def find(self, wanted: pl.Expr) -> int | None:
        """Return the position of the first row for which *wanted* is true."""
        for batch in self.batches(wanted.meta.root_names()):
            found = batch.frame.select(wanted.fill_null(False).arg_true()).to_series()
            if len(found):
                return batch.offset + int(found[0])
        return None

    def _refuse_damage(self, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        with reading(self.name, self.name):
            return read()


@contextmanager
def reading(name: str, where: object) -> Iterator[None]:
    """Turn what Polars says about a damaged file into a `SourceError` for source *name*."""
    from polars.exceptions import PolarsError

    try:
        yield
    except PolarsError as error:
        found = f"{where} cannot be read: {' '.join(str(error).split())}"
        raise SourceError(name, found, "a whole, readable file", f"restore {where}") from None


def open_table(name: str, location: pd.DataFrame | Path) -> Table:
    """Open rows in memory, or a ``.parquet``, ``.csv`` or ``.csv.zip`` file.

    Parquet is read in pieces whenever it is asked for; a CSV is held in memory.

    Raises:
        SourceError: The file is missing, truncated or of another kind.
    """
    from mlflow_ext.data.files import PARQUET, extension_of
    from mlflow_ext.gates.table import read_rows

    if not isinstance(location, Path):
        return _open_frame(name, location.reset_index(drop=True))
    if extension_of(name, location) == PARQUET:
        return _open_parquet(name, location)
    return _open_frame(name, read_rows(location))


def has_usual_names(frame: pd.DataFrame) -> bool:
    """Tell whether every column has a text as its name, and no two the same."""
    return bool(frame.columns.is_unique) and all(isinstance(n, str) for n in frame.columns)


def _open_frame(name: str, frame: pd.DataFrame) -> Table:
    import polars as pl

    seen = {name: found for name, found in _shared(frame) if found is not None}
    lazy = pl.DataFrame(seen).lazy()
    columns = _describe(frame, lazy.collect_schema())
    return Table(
        name=name,
        columns=columns,
        rows=len(frame),
        lazy=shared_values(lazy, columns.values()),
        load=lambda columns: frame if columns is None else frame[columns],
        pick=lambda rows: frame.iloc[list(rows)],
    )


def _shared(frame: pd.DataFrame) -> Iterator[tuple[str, pl.Series | None]]:
    """Yield each column as Polars reads it, or None where pandas holds what only Python knows."""
    import polars as pl

    for name in frame.columns:
        values = frame[name]
        if str(values.dtype) == "object":
            yield name, _as_texts(values)
        else:
            is_shared = values.dtype.kind in "iufbM" or str(values.dtype) == "str"
            yield name, pl.from_pandas(values) if is_shared else None


def _as_texts(values: pd.Series[Any]) -> pl.Series | None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        return None
    return pl.Series(pa.array(values, pa.large_string(), from_pandas=True))


def _open_parquet(name: str, path: Path) -> Table:
    import polars as pl
    from pyarrow import parquet

    from mlflow_ext.data import files

    with files.reading(name, path):
        file = parquet.ParquetFile(path)
        rows, empty = file.metadata.num_rows, file.schema_arrow.empty_table().to_pandas()
        file.close()

    def load(columns: list[str] | None) -> pd.DataFrame:
        with files.reading(name, path):
            rows: pd.DataFrame = parquet.read_table(path, columns=columns).to_pandas()
            return rows.reset_index(drop=True)

    lazy = pl.scan_parquet(path, glob=False)
    with reading(name, path):
        columns = _describe(empty, lazy.collect_schema())
    return Table(
        name=name,
        columns=columns,
        rows=rows,
        lazy=shared_values(lazy, columns.values()),
        load=load,
        pick=lambda wanted: _pick(lazy.select(list(empty.columns)), wanted),
    )


def _describe(frame: pd.DataFrame, schema: pl.Schema) -> dict[str, Column]:
    types = {str(name): dtype for name, dtype in frame.dtypes.items()}
    return {
        name: Column(
            name=name,
            kind=kind_of(name, dtype, schema.get(name)),
            dtype=dtype,
            polars=schema.get(name),
        )
        for name, dtype in types.items()
    }


def _pick(lazy: pl.LazyFrame, rows: Sequence[int]) -> pd.DataFrame:
    import polars as pl

    windows: dict[int, list[int]] = {}
    for row in rows:
        windows.setdefault(row // WINDOW, []).append(row % WINDOW)
    parts = [lazy.slice(w * WINDOW, WINDOW).collect()[inside] for w, inside in windows.items()]
    return pl.concat(parts).to_pandas()
