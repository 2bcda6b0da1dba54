"""Asking a gated registry, on a server or in this process, with one call for every operation.

A server is asked over plain HTTP: neither MLflow nor pandas is imported, so a command answers at
once. What it answers is what `mlflow_ext.registry.gated.service` answers in this process.
"""

from __future__ import annotations

from functools import cached_property
from http.client import responses
from typing import Any, Protocol
from urllib.parse import urlsplit

from mlflow_ext import __version__
from mlflow_ext.errors import (
    MlflowExtError,
    RefusedError,
    RegistryStateError,
    StoreUnreachableError,
)
from mlflow_ext.process import current_actor
from mlflow_ext.registry.connection import (
    DOCTOR,
    GATED,
    declined,
    probe_database,
    reaching_address,
    registry_address,
)
from mlflow_ext.registry.gated.caller import CLIENT_HEADER, Caller, claim
from mlflow_ext.registry.transport import Answer, Transport, patience
from mlflow_ext.tracking.address import hide_password

API = "/api/2.0/mlflow-ext"
CLIENT = f"mlflow-ext/{__version__}"
LOG_IN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
# What servers answer that do not know the path, and ours when its registry is plain MLflow.
NOT_OURS = (403, 404, 501)
# A server that has said who it is lives: it may be reading a large model or a long ledger.
AT_WORK_SECONDS = 600.0
READS = frozenset(
    {
        "audit/export",
        "audit/head",
        "audit/verify",
        "erasures/list",
        "evidence/export",
        "evidence/list",
        "evidence/show",
        "history",
        "info",
        "policy/show",
        "replay",
        "status",
        "version",
        "webhooks/deliveries",
        "webhooks/list",
    }
)
"""The operations that change nothing: GET with query parameters. The others are POST with JSON."""


class Registry(Protocol):
    """A registry that enforces its policy, wherever it runs."""

    address: str
    """Where it is, without a password."""

    def ask(self, operation: str, **payload: Any) -> dict[str, Any]:
        """Carry out one operation.

        Args:
            operation: Its name, e.g. ``policy/show``.
            payload: What it takes, as JSON values; None leaves an entry out.

        Returns:
            Its document. A promotion that is refused is one too: its decision says why.

        Raises:
            RefusedError: The registry does not let this caller do that.
            RegistryStateError: The request makes no sense to it as it stands.
            StoreUnreachableError: It does not answer.
        """
        ...


class RemoteRegistry:
    """A registry on a server.

    Args:
        address: ``http(s)://…`` as MLflow takes it, a prefix of the path included.
        actor: For whom to ask; the server believes its own authentication first.
    """

    def __init__(self, address: str, actor: str | None = None) -> None:
        headers = {CLIENT_HEADER: CLIENT, "User-Agent": CLIENT, **claim(actor or current_actor())}
        self._transport = Transport(address, headers)
        self.address = self._transport.address

    def is_gated(self) -> bool:
        """Tell whether the server enforces policies: it says so, or knows nothing of the question.

        Raises:
            StoreUnreachableError: It does not answer, or lets nobody in.
        """
        answer = self._transport.get(f"{API}/info", {})
        if answer.status in NOT_OURS:
            return False
        return _document(self.address, answer).get("mode") == "gated"

    def ask(self, operation: str, **payload: Any) -> dict[str, Any]:
        """As `Registry.ask`, over HTTP."""
        send = self._transport.get if operation in READS else self._transport.post
        timeout = max(AT_WORK_SECONDS, patience())
        answer = send(f"{API}/{operation}", _given(payload), timeout)
        return _document(self.address, answer)


class LocalRegistry:
    """A registry on a database that this process opens itself.

    Args:
        address: ``gated+<dialect>://…``.
        tracking_uri: Where runs live; None means MLflow's own setting.
        actor: For whom to ask.
    """

    def __init__(
        self, address: str, tracking_uri: str | None = None, actor: str | None = None
    ) -> None:
        self.address = hide_password(address)
        self._addresses = address, tracking_uri
        self._caller = Caller(actor=actor or current_actor(), client=CLIENT)

    def ask(self, operation: str, **payload: Any) -> dict[str, Any]:
        """As `Registry.ask`, in this process."""
        from mlflow_ext.registry.gated.service import perform

        with reaching_address(self.address):
            return perform(self._store, operation, self._caller, _given(payload))

    @cached_property
    def _store(self) -> Any:
        from mlflow.tracking._model_registry.utils import _get_store

        probe_database(self._addresses[0])
        return _get_store(*self._addresses)  # type: ignore[no-untyped-call]


def find_registry(
    tracking_uri: str | None = None, registry_uri: str | None = None, actor: str | None = None
) -> Registry | None:
    """Find the gated registry that the addresses lead to.

    Args:
        tracking_uri: Where runs live; None means ``MLFLOW_TRACKING_URI``.
        registry_uri: Where models live; None means ``MLFLOW_REGISTRY_URI``, else where runs live.
        actor: For whom to ask; None means the user of this process.

    Returns:
        The registry, or None where plain MLflow answers, which enforces nothing.

    Raises:
        StoreUnreachableError: A server does not answer, or lets nobody in.
    """
    address = registry_address(tracking_uri, registry_uri) or ""
    if address.startswith(GATED):
        return LocalRegistry(address, tracking_uri, actor)
    if urlsplit(address).scheme not in ("http", "https"):
        return None
    registry = RemoteRegistry(address, actor)
    return registry if registry.is_gated() else None


def require_registry(
    tracking_uri: str | None = None, registry_uri: str | None = None, actor: str | None = None
) -> Registry:
    """Find the gated registry, or say how to get one; as `find_registry` otherwise.

    Raises:
        RegistryStateError: The addresses lead to plain MLflow.
        StoreUnreachableError: A server does not answer, or lets nobody in.
    """
    registry = find_registry(tracking_uri, registry_uri, actor)
    if registry is not None:
        return registry
    address = registry_address(tracking_uri, registry_uri)
    raise RegistryStateError(
        f"the registry at {hide_password(address or 'the default address')} is plain MLflow",
        "a gated registry, which keeps policies, votes and evidence in a ledger",
        "mlflow-ext server --backend-store-uri sqlite:///mlflow.db, and set MLFLOW_TRACKING_URI"
        " to its address; without a server: export MLFLOW_REGISTRY_URI=gated+sqlite:///mlflow.db",
    )


def _given(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value is not None}


def _document(address: str, answer: Answer) -> dict[str, Any]:
    """Return what was answered, or raise what it means."""
    document = answer.document or {}
    if answer.is_ok or (answer.status == 403 and "decision" in document):
        return document
    raise _translate(address, answer, document)


def _translate(address: str, answer: Answer, document: dict[str, Any]) -> MlflowExtError:
    kind = RefusedError if answer.status == 403 else RegistryStateError
    if document.keys() >= {"found", "expected", "fix"}:
        return kind(document["found"], document["expected"], document["fix"])
    said = document.get("message") or responses.get(answer.status, "")
    found = f"HTTP {answer.status} {said}".strip()
    if answer.location:
        fix = f"export MLFLOW_TRACKING_URI={answer.location.partition(API)[0]}"
        return StoreUnreachableError("MLflow store", address, f"{found}: it has moved", fix)
    if answer.status == 401:
        return StoreUnreachableError("MLflow store", address, found, LOG_IN)
    if answer.status == 403:
        return RefusedError(f"{address}: {found}", "a user who may do this", LOG_IN)
    if answer.status >= 500 or answer.status < 400:
        return StoreUnreachableError("MLflow store", address, found, DOCTOR)
    return declined(address, found, document.get("error_code"))
