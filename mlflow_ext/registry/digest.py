"""The identity of a model's files: one SHA-256, the same wherever and however they are read.

It is what ties evidence to a version: whoever swaps a file behind the registry's back changes it.
"""

from __future__ import annotations

import hashlib
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from stat import S_ISREG
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import yaml

from mlflow_ext.data.model_files import open_store
from mlflow_ext.errors import FilesChangedError, StoreUnreachableError
from mlflow_ext.registry.connection import DOCTOR, reaching

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.pyfunc import PyFuncModel

DOWNLOAD_NOTE = "registered_model_meta"
DOWNLOAD_NOTE_KEYS = {"model_name", "model_version"}
DOWNLOAD_NOTE_BYTES = 4096
SETTLED_NS = 2_000_000_000
"""Age from which a file's times tell it apart from what was there before (a tick is less)."""
REMEMBERED_FILES = 100_000
_known: dict[tuple[int, ...], str] = {}
"""What a file was when it was read (device, inode, size, times) -> its SHA-256."""


def digest_files(folder: Path) -> str:
    """Return the digest of all files under *folder*, SHA-256 hex.

    It covers the path and the bytes of each; permissions, times and empty folders are not content,
    nor is the note that MLflow leaves in a folder when it downloads a registered model.

    Raises:
        StoreUnreachableError: There is no file, one cannot be read, or a link leads to a folder.
    """
    try:
        lines = sorted((os.fsencode(n), _digest_file(file)) for n, file in _files(folder))
    except OSError as error:
        raise _unreadable(str(error.filename or folder), error) from None
    if not lines:
        raise _unreadable(str(folder), FileNotFoundError("it holds no files"))
    digest = hashlib.sha256()
    for name, content in lines:
        digest.update(b"%b\0%b\n" % (name, content.encode()))
    return digest.hexdigest()


def digest_location(location: str, tracking_uri: str | None = None) -> str:
    """Return the digest of the files of a version, read in place where they are local.

    Args:
        location: Where the registry says that they lie. Inside a server, its own
            ``mlflow-artifacts:`` locations are read from its ``--artifacts-destination``.
        tracking_uri: The server behind ``mlflow-artifacts:`` elsewhere; None: MLflow's own setting.

    Raises:
        StoreUnreachableError: The store does not answer, or holds no files there.
    """
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    if Path(location).is_absolute():
        return digest_files(Path(location))
    with ExitStack() as stack:
        with _reading(location):
            store, path = open_store(location, tracking_uri)
            is_local = isinstance(store, LocalArtifactRepository)
            folder = None if is_local else stack.enter_context(TemporaryDirectory())
            files = Path(store.download_artifacts(path, folder))  # type: ignore[no-untyped-call]
        return digest_files(files)


def digest_version(client: MlflowClient, model: str, version: int) -> str:
    """Return the digest of the files of a version as *client* gets them.

    Raises:
        StoreUnreachableError: The store does not answer, or holds no files there.
    """
    with reaching(client):
        location = client.get_model_version_download_uri(model, str(version))
    return digest_location(location, client.tracking_uri)


def load_verified(client: MlflowClient, model_uri: str, expected: str) -> PyFuncModel:
    """Load a registered model, once its files are known to be those that were judged.

    Args:
        client: The registry.
        model_uri: ``models:/NAME/VERSION``, ``models:/NAME/STAGE`` or ``models:/NAME@ALIAS``.
        expected: The digest that its evidence names.

    Returns:
        The model, loaded from a copy that nobody else writes to.

    Raises:
        FilesChangedError: They are others.
        StoreUnreachableError: The store does not answer, or holds no files there.
    """
    import mlflow
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    with reaching(client):
        version = get_model_name_and_version(client, model_uri)  # type: ignore[no-untyped-call]
        location = client.get_model_version_download_uri(*version)
    with ExitStack() as stack:
        copy = stack.enter_context(TemporaryDirectory())
        with _reading(location):
            store, path = open_store(location, client.tracking_uri)
            folder = Path(store.download_artifacts(path, copy))  # type: ignore[no-untyped-call]
        actual = digest_files(folder)
        if actual != expected:
            raise FilesChangedError(model_uri, expected, actual)
        model: PyFuncModel = mlflow.pyfunc.load_model(str(folder))
        # A model may open files of its own when it is asked: they stay for as long as it does.
        weakref.finalize(model, stack.pop_all().close)
    return model


@contextmanager
def _reading(location: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # every kind of store has a library with errors of its own
        raise _unreadable(location, error) from None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file under *folder* with its path inside it."""
    for parent, folders, names in os.walk(folder, onerror=_fail):
        for name in folders:
            if Path(parent, name).is_symlink():  # os.walk would pass over what lies behind it
                raise OSError(0, "a link to a folder", str(Path(parent, name)))
        for name in names:
            file = Path(parent, name)
            if not (file.parent == folder and _is_download_note(file)):
                yield file.relative_to(folder).as_posix(), file


def _fail(error: OSError) -> None:
    raise error


def _is_download_note(file: Path) -> bool:
    """Tell whether *file* is MLflow's note, and not a part of the model under its name."""
    if file.name != DOWNLOAD_NOTE or file.stat().st_size > DOWNLOAD_NOTE_BYTES:
        return False
    try:
        content = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, UnicodeError):
        return False
    return isinstance(content, dict) and content.keys() == DOWNLOAD_NOTE_KEYS


def _digest_file(file: Path) -> str:
    before = file.stat()
    if not S_ISREG(before.st_mode):  # opening a pipe would wait for its other end
        raise OSError(0, "not a file", str(file))
    identity = _identity(before)
    if identity in _known:
        return _known[identity]
    now = time.time_ns()
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        is_same = _identity(os.fstat(opened.fileno())) == identity
    if is_same and before.st_ctime_ns < now - SETTLED_NS:
        _remember(identity, digest)
    return digest


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _remember(identity: tuple[int, ...], digest: str) -> None:
    if len(_known) >= REMEMBERED_FILES:
        _known.clear()
    _known[identity] = digest


def _unreadable(location: str, error: Exception) -> StoreUnreachableError:
    cause = (str(error) or type(error).__name__).splitlines()[0]
    return StoreUnreachableError("model store", location, cause, DOCTOR)
