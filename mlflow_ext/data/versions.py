"""Tables as versioned MLflow artifacts: read back only when they are what was written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlflow_ext.data.files import reading
from mlflow_ext.data.fingerprint import fingerprint_table, to_arrow
from mlflow_ext.errors import (
    FingerprintMismatchError,
    StoreUnreachableError,
    TableError,
)
from mlflow_ext.records import TableFingerprint, TableVersion, to_json
from mlflow_ext.tracking.active import active_run

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from mlflow.entities import Run

    from mlflow_ext.data.dataset import TableDataset

FOLDER = "data"
FINGERPRINT_TAG = "mlflow_ext.fingerprint"
PATH_TAG = "mlflow_ext.path"
COLLISION_TAG = "mlflow_ext.digest_collision"


class DigestCollisionWarning(UserWarning):
    """MLflow's digest calls two tables the same although their content differs."""


def log_table(frame: pd.DataFrame, name: str, *, context: str) -> TableVersion:
    """Write a table as Parquet into the active run, with its fingerprint, and log it as an input.

    The run gets ``data/NAME.parquet``, ``data/NAME.fingerprint.json``, the tag
    ``mlflow_ext.fingerprint.NAME`` and the dataset NAME with MLflow's digest and our fingerprint.

    Args:
        frame: At least one row; every column of one type.
        name: Name of the table, which names the files and the dataset.
        context: What the table is for, e.g. ``training``.

    Raises:
        NoActiveRunError: No run is active.
        TableError: The table is empty or cannot be held by Arrow.
        StoreUnreachableError: The artifact store does not take the files.

    Warns:
        DigestCollisionWarning: Another run of the experiment logged a table of that name with the
            same MLflow digest but other content.
    """
    run = active_run()
    if frame.empty:
        fix = "widen the months or filters that select it"
        raise TableError(name, "it is empty", "at least one row", fix)
    table = to_arrow(frame)
    fingerprint = fingerprint_table(table)
    _write_files(run, name, table, fingerprint)
    version = TableVersion(
        name=name,
        run_id=run.info.run_id,
        path=f"{FOLDER}/{name}.parquet",
        fingerprint=fingerprint,
    )
    _warn_of_collision(run, frame, version)
    log_use(frame, version, context=context)
    return version


def log_use(frame: pd.DataFrame, version: TableVersion, *, context: str) -> None:
    """Log a stored table as an input of the active run, so that the run traces to its rows.

    Args:
        frame: The rows of *version*.
        version: Where the table lies and what it is.
        context: What the run uses it for, e.g. ``training``.
    """
    import mlflow

    digest = version.fingerprint.digest
    tags = {FINGERPRINT_TAG: digest, PATH_TAG: version.path}
    mlflow.log_input(_dataset(frame, version), context=context, tags=tags)
    mlflow.set_tag(f"{FINGERPRINT_TAG}.{version.name}", digest)


def read_table(version: TableVersion) -> pd.DataFrame:
    """Download a table, make sure that it is still the one that was written, and return it.

    Returns:
        The frame that was logged, with the same index and types (but Parquet keeps seconds as
        milliseconds, and categories that are not text as plain values).

    Raises:
        FingerprintMismatchError: The stored rows are not the rows that were fingerprinted.
        SourceError: The stored file is damaged.
        StoreUnreachableError: The artifact store does not give the file.
    """
    from pyarrow import parquet

    uri = f"runs:/{version.run_id}/{version.path}"
    with TemporaryDirectory() as folder:
        path = _download(uri, folder)
        with reading(uri, path):
            table = parquet.read_table(path)
    found = fingerprint_table(table, ordered=version.fingerprint.ordered)
    if found.digest != version.fingerprint.digest:
        raise FingerprintMismatchError(uri, version.fingerprint.digest, found.digest)
    frame: pd.DataFrame = table.to_pandas()
    return frame


@contextmanager
def writing_artifacts(run: Run) -> Iterator[None]:
    """Turn what MLflow raises when it cannot write artifacts into an error that says what to do.

    Raises:
        StoreUnreachableError: The artifact store of *run* does not take files.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (OSError, MlflowException) as error:
        uri = run.info.artifact_uri
        fix = f"make {uri} writable, or give the experiment another artifact location"
        raise StoreUnreachableError("artifact store", uri, str(error), fix) from error


def _write_files(run: Run, name: str, table: pa.Table, fingerprint: TableFingerprint) -> None:
    import mlflow
    from pyarrow import parquet

    with TemporaryDirectory() as folder:
        parquet.write_table(table, Path(folder, f"{name}.parquet"), compression="zstd")
        Path(folder, f"{name}.fingerprint.json").write_text(to_json(fingerprint), encoding="utf-8")
        with writing_artifacts(run):
            mlflow.log_artifacts(folder, FOLDER)


def _download(uri: str, folder: str) -> Path:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
    except (OSError, MlflowException) as error:
        fix = "run again with -P reuse=false to write the table anew"
        raise StoreUnreachableError("artifact store", uri, str(error), fix) from error


def _dataset(frame: pd.DataFrame, version: TableVersion) -> TableDataset:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.tracking.context.registry import resolve_tags

    from mlflow_ext.data.dataset import TableDataset

    return TableDataset(frame, CodeDatasetSource(tags=resolve_tags()), name=version.name)


def _warn_of_collision(run: Run, frame: pd.DataFrame, version: TableVersion) -> None:
    import mlflow

    mlflow_digest = _dataset(frame, version).digest

    tag, digest = f"{FINGERPRINT_TAG}.{version.name}", version.fingerprint.digest
    same = f"dataset.name = '{version.name}' AND dataset.digest = '{mlflow_digest}'"
    others = mlflow.MlflowClient().search_runs(
        [run.info.experiment_id], f"{same} AND tags.`{tag}` != '{digest}'", max_results=1
    )
    for other in others:
        message = (
            f"table '{version.name}' has the MLflow digest {mlflow_digest} of run "
            f"{other.info.run_id}, but other content: fingerprint {digest} "
            f"instead of {other.data.tags[tag]}"
        )
        mlflow.set_tag(f"{COLLISION_TAG}.{version.name}", message)
        warnings.warn(message, DigestCollisionWarning, stacklevel=4)
