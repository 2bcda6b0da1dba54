"""Who asks: the name, whether somebody has checked it, and the program that was used."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import quote, unquote

from mlflow_ext.process import current_actor

ACTOR_HEADER = "X-Mlflow-Ext-Actor"
"""By which a client says for whom it acts; nobody has checked that."""
CLIENT_HEADER = "X-Mlflow-Ext-Client"
TRUSTED_HEADER = "MLFLOW_EXT_ACTOR_HEADER"
"""Environment variable of a server: the header in which its proxy passes the checked user on."""
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The person or machine behind one request."""

    actor: str
    is_claimed: bool = True
    """False when the server has authenticated the name."""
    client: str = ""
    """The program, as it named itself."""


_acting: ContextVar[Caller | None] = ContextVar("mlflow_ext_caller", default=None)


def claim(actor: str) -> dict[str, str]:
    """Return the header by which a client says for whom it acts.

    Headers are Latin-1: whatever else is in a name travels percent-encoded.

    >>> claim("zoë@lab")
    {'X-Mlflow-Ext-Actor': 'zo%C3%AB@lab'}
    """
    return {ACTOR_HEADER: quote(actor, safe=" !#$&'()*+,/:;=?@[]~")}


@contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    """Let everything inside the block be asked for by *caller*."""
    token = _acting.set(caller)
    try:
        yield
    finally:
        _acting.reset(token)


def current_caller() -> Caller:
    """Return who asks: of the block, of the HTTP request at hand, else the user of the process."""
    return _acting.get() or _of_request() or Caller(actor=current_actor(), client="mlflow")


def is_admin(caller: Caller) -> bool:
    """Tell whether MLflow's basic-auth knows the caller as an administrator of the server."""
    auth = sys.modules.get("mlflow.server.auth")
    if caller.is_claimed or auth is None:
        return False
    return bool(auth.store.get_user(caller.actor).is_admin)


def _of_request() -> Caller | None:
    flask = sys.modules.get("flask")  # without it, nobody can be inside a request
    if flask is None or not flask.has_request_context():
        return None
    headers = flask.request.headers
    client = _printable(headers.get(CLIENT_HEADER) or headers.get("User-Agent", ""))
    trusted = os.environ.get(TRUSTED_HEADER)
    checked = getattr(flask.g, "mlflow_authenticated_user", None) or (
        headers.get(trusted) if trusted else None
    )
    if checked:
        return Caller(actor=str(checked), is_claimed=False, client=client)
    if trusted:  # what the proxy has not checked, nobody may claim past it
        return Caller(actor=UNKNOWN, client=client)
    claimed = _printable(unquote(headers.get(ACTOR_HEADER, "")))  # as `claim` wrote it
    return Caller(actor=claimed or UNKNOWN, client=client)


def _printable(text: str) -> str:
    """Return *text* on one line, without what would move a terminal's cursor or end a string."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
