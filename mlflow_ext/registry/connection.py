"""Reaching a registry, or saying in seconds that it cannot be reached.

MLflow waits for minutes on a dead server: ``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` (7),
``MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR`` (2) and ``MLFLOW_HTTP_REQUEST_TIMEOUT`` (120 s) decide how
long. The command line lowers them unless they are set, a pipeline only for its first call.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.errors import (
    MlflowExtError,
    RefusedError,
    RegistryStateError,
    StoreUnreachableError,
)
from mlflow_ext.tracking.address import hide_password
from mlflow_ext.tracking.patience import impatient

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
DENIED = "PERMISSION_DENIED"
NO_ANSWER = {
    "INTERNAL_ERROR",  # what MLflow raises when the connection fails
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "IO_ERROR",
    "UNAUTHENTICATED",
    "CUSTOMER_UNAUTHORIZED",
    DENIED,
}
OWN_ERROR = re.compile(
    r"(?P<found>.+)\n  expected: (?P<expected>.+)\n  fix:      (?P<fix>.+)", re.DOTALL
)
"""How an `MlflowExtError` reads that a gated registry has raised."""
MENDED_BY = re.compile(r"To mend it: (.+)")
"""How a gated registry ends each line about what is unmet."""
GATED = "gated+"
"""What the address of a database starts with when its registry enforces the policy."""
MISSING = "RESOURCE_DOES_NOT_EXIST"
ACCEPTABLE = "a request that the registry accepts ({})"
DOCTOR = "start it or correct its address, then ask: mlflow-ext doctor"
CORRECT = "correct what was asked: mlflow-ext COMMAND --help"
LOOK = "correct the name or the number; the versions of a model: mlflow-ext status MODEL"
ELSEWHERE = "go to the folder that holds it, or set MLFLOW_TRACKING_URI"


def registry_address(tracking_uri: str | None, registry_uri: str | None) -> str | None:
    """Return where models live, by MLflow's own precedence, without importing it.

    An address of the tracking server, even a given one, yields to ``MLFLOW_REGISTRY_URI``.

    Args:
        tracking_uri: Where runs live; None means ``MLFLOW_TRACKING_URI``.
        registry_uri: Where models live; None means ``MLFLOW_REGISTRY_URI``.

    Returns:
        The address, or None where nothing says one and MLflow's default counts.
    """
    stated = (
        registry_uri,
        os.environ.get("MLFLOW_REGISTRY_URI"),
        tracking_uri,
        os.environ.get("MLFLOW_TRACKING_URI"),
    )
    return next(filter(None, stated), None)


def connect(tracking_uri: str | None = None, registry_uri: str | None = None) -> MlflowClient:
    """Open a client of stores that exist, after one quick look whether their databases answer.

    Args:
        tracking_uri: Where runs live; None means MLflow's own setting.
        registry_uri: Where models live; None means MLflow's own setting.

    Raises:
        StoreUnreachableError: A database is not there or cannot be opened.
        RegistryStateError: MLflow does not know the kind of an address.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    tracking = tracking_uri or mlflow.get_tracking_uri()
    registry = registry_address(tracking_uri, registry_uri) or mlflow.get_registry_uri()
    for uri in {tracking, registry}:
        probe_database(uri)
    try:
        return mlflow.MlflowClient(tracking, registry)
    except MlflowException as error:
        raise _translate(error, tracking) from None


@contextmanager
def reaching(client: MlflowClient) -> Iterator[None]:
    """Turn what MLflow raises inside the block into an error that says what to do.

    Raises:
        StoreUnreachableError: The registry or its artifact store does not answer or lets nobody in.
        RefusedError: It is gated, and does not let this happen; with all that it said.
        RegistryStateError: It answers, and does not accept the request.
    """
    with reaching_address(getattr(client, "_registry_uri", None) or client.tracking_uri):
        yield


@contextmanager
def reaching_address(uri: str) -> Iterator[None]:
    """Do what `reaching` does, for whatever lives at *uri*.

    Raises:
        StoreUnreachableError: It does not answer or lets nobody in.
        RefusedError: It is gated, and does not let this happen; with all that it said.
        RegistryStateError: It answers, and does not accept the request.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise _translate(error, uri) from error


def check_answers(client: MlflowClient) -> None:
    """Ask the tracking store one question, and give up within seconds if it does not answer.

    Raises:
        StoreUnreachableError: It does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        with impatient(IMPATIENT):
            client.search_experiments(max_results=1)
    except MlflowException as error:
        raise _translate(error, client.tracking_uri) from error


def is_missing(error: Exception) -> bool:
    """Tell whether MLflow means that the thing does not exist."""
    return getattr(error, "error_code", None) == MISSING


def declined(address: str, said: str, code: str | None) -> RegistryStateError:
    """Build the error for a request that was answered, but not as it was asked.

    Args:
        address: Who answered, without a password.
        said: The answer.
        code: MLflow's word for what is wrong; None when it was no registry that answered.
    """
    expected = ACCEPTABLE.format(code or "BAD_REQUEST")
    fix = CORRECT if code else DOCTOR
    if code == MISSING:
        expected, fix = f"what the registry holds ({code})", LOOK
    return RegistryStateError(f"{address}: {said}", expected, fix)


def probe_database(uri: str) -> None:
    """Fail at once where MLflow would try a dead database for minutes, or create an empty one.

    Args:
        uri: Any address of a store; what is no database is not looked at.

    Raises:
        StoreUnreachableError: The database is not there or cannot be opened.
    """
    from mlflow.store.db.db_types import DATABASE_ENGINES
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy.exc import SQLAlchemyError

    uri = uri.removeprefix(GATED)
    if re.split("[:+]", uri, maxsplit=1)[0] not in DATABASE_ENGINES:
        return
    try:
        engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
        if engine.dialect.name == "sqlite" and not Path(engine.url.database).exists():
            raise StoreUnreachableError("MLflow database", uri, "there is no such file", ELSEWHERE)
        with engine.connect():
            pass
    except (SQLAlchemyError, ImportError) as error:
        raise StoreUnreachableError(
            "MLflow database", hide_password(uri), cause_of(error), DOCTOR
        ) from None


def _translate(error: Exception, uri: str) -> MlflowExtError:
    code = getattr(error, "error_code", "IO_ERROR")
    refusal = _read_refusal(error) if code == DENIED else None
    if refusal:
        return refusal
    if code == MISSING:
        return declined(hide_password(uri), cause_of(error), code)
    if code in NO_ANSWER:
        return StoreUnreachableError("MLflow store", hide_password(uri), cause_of(error), DOCTOR)
    return RegistryStateError(
        f"{hide_password(uri)}: {cause_of(error)}", ACCEPTABLE.format(code), DOCTOR
    )


def _read_refusal(error: Exception) -> RefusedError | None:
    """Recognize what a gated registry has said through MLflow; None: somebody else denies."""
    text = str(error).removeprefix(f"{DENIED}: ")  # MLflow's client adds it
    if parts := OWN_ERROR.fullmatch(text):
        return RefusedError(parts["found"], parts["expected"], parts["fix"])
    fixes = MENDED_BY.findall(text)
    return RefusedError(text, "every rule of the policy met", fixes[0]) if fixes else None


def cause_of(error: Exception) -> str:
    """Say an error in one line: the operating system's own words, else its first line."""
    text = str(error).strip() or type(error).__name__
    system = re.search(r"\[Errno -?\d+\] ([^'\")]+)", text)
    return system.group(1) if system else text.splitlines()[0]
