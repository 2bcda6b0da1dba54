"""JSON over HTTP with the credentials and headers of MLflow's own client, without importing it.

Only the standard library, so that a command answers before ``import mlflow`` would have ended.
Proxies come from the environment, as everywhere. Redirects are not followed: they would carry the
credentials to an address that nobody has named.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from mlflow_ext.errors import RegistryStateError, StoreUnreachableError
from mlflow_ext.registry.connection import DOCTOR, IMPATIENT, cause_of
from mlflow_ext.tracking.address import hide_password

CREDENTIALS = Path("~/.mlflow/credentials")
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server sent back, whatever it means."""

    status: int
    document: dict[str, Any] | None
    """The JSON object; None when it sent something else."""
    location: str = ""
    """Where it sends the client on to."""

    @property
    def is_ok(self) -> bool:
        """True when the request was carried out and answered with a document."""
        return 200 <= self.status < 300 and self.document is not None


class Transport:
    """The way to one server.

    Args:
        address: ``http(s)://[user:password@]host[:port][/prefix]``.
        headers: Sent with every request, beside credentials and workspace.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        self.address = hide_password(address)
        self._base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._headers = {**headers, **_authorization(parts), **_workspace()}
        self._opener = _build_opener(self.address, is_tls=parts.scheme == "https")

    def get(self, path: str, query: Mapping[str, Any], timeout: float | None = None) -> Answer:
        """Ask for *path* below the address.

        Args:
            path: Begins with a slash.
            query: The parameters.
            timeout: In seconds, for each wait; None means ``MLFLOW_HTTP_REQUEST_TIMEOUT``.

        Raises:
            StoreUnreachableError: Nobody answers.
        """
        words = f"?{urlencode(query)}" if query else ""
        return self._send(Request(f"{self._base}{path}{words}"), timeout)

    def post(self, path: str, body: Mapping[str, Any], timeout: float | None = None) -> Answer:
        """Send *body* to *path* below the address; otherwise as `get`.

        Raises:
            StoreUnreachableError: Nobody answers.
        """
        content = json.dumps(body).encode()
        request = Request(f"{self._base}{path}", content, {"Content-Type": "application/json"})
        return self._send(request, timeout)

    def _send(self, request: Request, timeout: float | None) -> Answer:
        for name, value in self._headers.items():
            request.add_header(name, value)
        try:
            with self._opener.open(request, timeout=timeout or patience()) as reply:
                return _read(reply.status, reply.headers, reply)
        except HTTPError as error:
            with error:
                return _read(error.code, error.headers, error)
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(self.address, error) from None


def patience() -> float:
    """Return how long to wait for a server, in seconds: ``MLFLOW_HTTP_REQUEST_TIMEOUT``.

    Raises:
        RegistryStateError: The variable holds no number.
    """
    stated = os.environ.get(TIMEOUT) or IMPATIENT[TIMEOUT]
    try:
        return float(stated)
    except ValueError:
        raise RegistryStateError(
            f"{TIMEOUT} is '{stated}'", "a number of seconds", f"export {TIMEOUT}=20"
        ) from None


class _StayHere(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _build_opener(address: str, *, is_tls: bool) -> OpenerDirector:
    if not is_tls:
        return build_opener(_StayHere)
    try:
        return build_opener(_StayHere, HTTPSHandler(context=_tls()))
    except (OSError, ValueError) as error:
        fix = "correct MLFLOW_TRACKING_SERVER_CERT_PATH or MLFLOW_TRACKING_CLIENT_CERT_PATH"
        what = f"a certificate cannot be read: {cause_of(error)}"
        raise StoreUnreachableError("MLflow store", address, what, fix) from None


def _tls() -> ssl.SSLContext:
    stated = map(os.environ.get, ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"))
    authorities = next(filter(None, stated), None)
    is_folder = authorities is not None and Path(authorities).is_dir()
    file, folder = (None, authorities) if is_folder else (authorities, None)
    context = ssl.create_default_context(cafile=file, capath=folder)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if own := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        context.load_cert_chain(own)
    return context


def _authorization(address: SplitResult) -> dict[str, str]:
    """Build the header, in MLflow's order: a user with a password before a token.

    Each comes from the environment, else from the file of credentials, else from the address.
    """
    in_file = _read_credentials()
    user, password = (
        os.environ.get(name) or in_file.get(name.lower()) or unquote(in_address or "")
        for name, in_address in (
            ("MLFLOW_TRACKING_USERNAME", address.username),
            ("MLFLOW_TRACKING_PASSWORD", address.password),
        )
    )
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user and password:
        basic = base64.standard_b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {basic}"}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _read_credentials() -> Mapping[str, str]:
    parser = ConfigParser()
    file = CREDENTIALS.expanduser()
    try:
        parser.read(file)  # a file that is not there reads as empty
        return dict(parser["mlflow"]) if parser.has_section("mlflow") else {}
    except ConfigParserError as error:
        raise RegistryStateError(
            f"{file}: {cause_of(error)}", "a section [mlflow] with name = value", f"edit {file}"
        ) from None


def _workspace() -> dict[str, str]:
    workspace = os.environ.get("MLFLOW_WORKSPACE", "").strip()
    return {WORKSPACE_HEADER: workspace} if workspace else {}


def _read(status: int, headers: Message, content: IO[bytes]) -> Answer:
    try:
        document = json.loads(content.read())
    except ValueError:
        document = None
    return Answer(
        status=status,
        document=document if isinstance(document, dict) else None,
        location=headers.get("Location", ""),
    )


def _unreachable(address: str, error: Exception) -> StoreUnreachableError:
    reason = error.reason if isinstance(error, URLError) else error
    cause = reason if isinstance(reason, Exception) else Exception(reason)
    fix = DOCTOR
    if isinstance(cause, TimeoutError):
        fix = f"give it more seconds, e.g. export {TIMEOUT}=120"
    if isinstance(cause, ssl.SSLCertVerificationError):
        fix = "name its authority: export MLFLOW_TRACKING_SERVER_CERT_PATH=ca.pem"
    return StoreUnreachableError("MLflow store", address, cause_of(cause), fix)
