"""Sources of data: where a declared location lies, and its columns as a pandas frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.data.files import (
    PARQUET,
    csv_bytes,
    extension_of,
    parse_csv,
    reading,
)
from mlflow_ext.errors import SourceError, nearest, one_of

if TYPE_CHECKING:
    import pandas as pd

PACKAGED = re.compile(r"package://(?P<package>\w+)/(?P<file>.+)")


def locate(name: str, location: str, root: Path) -> Path:
    """Find the file that *location* means.

    Args:
        name: Name of the source, for messages.
        location: A path relative to *root*, or ``package://NAME/PATH`` for a file inside an
            installed package, which is found without being imported.
        root: Folder of the project file.

    Raises:
        SourceError: The package is not installed, or there is no such file.
    """
    packaged = PACKAGED.fullmatch(location)
    if not packaged:
        return _existing(name, [root / location], "put the file there, or edit its location")
    folders = _package_folders(name, packaged["package"])
    fix = f"python -m pip install --force-reinstall {packaged['package']}"
    return _existing(name, [folder / packaged["file"] for folder in folders], fix)


def read_source(name: str, location: str, columns: Sequence[str], root: Path) -> pd.DataFrame:
    """Read the *columns* of a ``.csv``, ``.csv.zip`` or ``.parquet`` source, and no others.

    Empty fields and the usual markers (``NA``, ``null`` …) are missing values. Types are those
    pandas infers from the whole file; timestamps in a CSV stay text.

    Args:
        name: Name of the source, for messages.
        location: As for `locate`.
        columns: Columns that must be there, in the order in which they are returned.
        root: Folder of the project file.

    Returns:
        At least one row, with a `RangeIndex`.

    Raises:
        SourceError: The file is missing, damaged or empty, or lacks a column.
    """
    path = locate(name, location, root)
    read = _read_parquet if extension_of(name, path) == PARQUET else _read_csv
    with reading(name, path):
        frame = read(name, path, list(columns))
    if frame.empty:
        raise SourceError(name, f"{path} has no rows", "at least one row", f"restore {path}")
    return frame


def _package_folders(name: str, package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        fix = f"python -m pip install {package}, or the extra that declares it, e.g. "
        fix += "python -m pip install -e '.[flights]'"
        found = f"package '{package}' is not installed"
        raise SourceError(name, found, "an installed package that holds the data", fix)
    return [Path(folder) for folder in spec.submodule_search_locations]


def _existing(name: str, candidates: Sequence[Path], fix: str) -> Path:
    for path in candidates:
        if path.is_file():
            return path
    raise SourceError(name, f"there is no file {candidates[0]}", "a readable file", fix)


def _read_csv(name: str, path: Path, columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    text = csv_bytes(name, path)
    # pandas fills a row that is cut off with missing values and says nothing; Arrow refuses it.
    _require(name, path, columns, parse_csv(text).schema.names)
    return pd.read_csv(BytesIO(text), usecols=columns, low_memory=False)[columns]


def _read_parquet(name: str, path: Path, columns: list[str]) -> pd.DataFrame:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    _require(name, path, columns, file.schema_arrow.names)
    frame: pd.DataFrame = file.read(columns).to_pandas()
    return frame[columns].reset_index(drop=True)


def _require(name: str, path: Path, columns: Sequence[str], present: Sequence[str]) -> None:
    for column in columns:
        if column not in present:
            guess = nearest(column, present)
            fix = f"write '{guess}' instead of '{column}'" if guess else f"add it to {path}"
            raise SourceError(name, f"{path} has no column '{column}'", one_of(present), fix)
