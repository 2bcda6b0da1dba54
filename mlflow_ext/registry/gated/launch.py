"""Starting `mlflow server` on a gated registry: its command line and its environment."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from mlflow_ext.errors import ServerOptionError, one_of
from mlflow_ext.registry.connection import GATED
from mlflow_ext.registry.gated.recomputation import GATES_VARIABLE, JOB_VARIABLES
from mlflow_ext.tracking.address import hide_password

STORES = "mlflow.model_registry_store"
OURS = ("--backend-store-uri", "--registry-store-uri", "--app-name")
SERVERS = ("--uvicorn-opts", "--gunicorn-opts", "--waitress-opts", "--dev")
UVLOOP = ("--uvicorn-opts", "--loop uvloop")
"""Several workers under the default loop lose TCP_NODELAY: every small reply waits for 40 ms."""
SECRET_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
WEBHOOK_KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
MAKE_WEBHOOK_KEY = (
    f"export {WEBHOOK_KEY}=$(python -c 'from cryptography.fernet import Fernet; "
    "print(Fernet.generate_key().decode())')"
)
SETTINGS = {"MLFLOW_WEBHOOK_CACHE_TTL": "0"}
"""MLflow remembers webhooks for a minute, without looking at whose workspace they are."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A server as it was asked for."""

    options: Mapping[str, str | None]
    """Options of `mlflow server`, as Python names; ``backend_store_uri`` must be there."""
    more: tuple[str, ...] = ()
    """Words for `mlflow server` as they are."""
    is_guarded: bool = False
    """With basic-auth."""
    gates: Path | None = None
    """The file of gates by which the server itself judges versions."""

    def command(self) -> list[str]:
        """Return the command line, the program first.

        Raises:
            ServerOptionError: The database cannot be gated, or an option would undo it.
        """
        uri = self.options["backend_store_uri"] or ""
        check_database(uri)
        _check_words(self.more)
        given = [
            word
            for name, value in self.options.items()
            if value is not None
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        app = "mlflow-ext-auth" if self.is_guarded else "mlflow-ext"
        pair = ["--registry-store-uri", f"{GATED}{uri}", "--app-name", app]
        is_chosen = any(word.partition("=")[0] in SERVERS for word in self.more)
        loop = [] if is_chosen or find_spec("uvloop") is None else UVLOOP
        start = [sys.executable, "-m", "mlflow", "server"]
        return [*start, *given, *pair, *loop, *self.more]

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return *given* with what the server needs beside it."""
        environment = {**SETTINGS, **given}
        if self.gates is not None:
            environment[GATES_VARIABLE] = str(self.gates)
            for name, value in JOB_VARIABLES.items():
                others = [
                    word for word in given.get(name, "").split(",") if word not in ("", value)
                ]
                environment[name] = ",".join([*others, value])
        return environment


def prepare_auth(given: Mapping[str, str]) -> dict[str, str]:
    """Do for basic-auth what `mlflow server` does only for the application of that very name.

    Without it, a worker that lacks a setting dies and is started again, for ever.

    Args:
        given: The environment of the server.

    Returns:
        What to add to it.

    Raises:
        ServerOptionError: A setting is missing, or there is no password for the first admin.
    """
    if not given.get(SECRET_KEY):
        raise ServerOptionError(
            f"{SECRET_KEY} is not set",
            "a secret that stays the same over restarts and on every server",
            f"export {SECRET_KEY}=$(openssl rand -hex 32)",
        )
    if find_spec("flask_wtf") is None:
        raise ServerOptionError(
            "basic-auth needs Flask-WTF, which is not installed",
            "the extra 'server'",
            "pip install 'mlflow-ext[server]'",
        )
    _make_admin()
    return {
        "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",
        "_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN": secrets.token_hex(32),
    }


def advise(environment: Mapping[str, str]) -> Iterator[str]:
    """Say what is not wrong, and will be missed."""
    if not environment.get(WEBHOOK_KEY):
        yield (
            f"{WEBHOOK_KEY} is not set: each process makes one of its own, and no secret of a "
            f"webhook can be read after a restart. To mend it: {MAKE_WEBHOOK_KEY}"
        )


def check_database(uri: str) -> None:
    """Refuse the address of what cannot be gated.

    Raises:
        ServerOptionError: It is no database that a gated registry knows, or is gated already.
    """
    shown = hide_password(uri)
    plain = uri.removeprefix(GATED)
    if uri != plain:
        raise ServerOptionError(
            f"backend store {shown}",
            "a plain address: the registry alone is gated, else MLflow's jobs are switched off",
            f"mlflow-ext server --backend-store-uri {hide_password(plain)}",
        )
    known = {entry.name for entry in entry_points(group=STORES) if entry.name.startswith(GATED)}
    if f"{GATED}{uri.partition(':')[0]}" not in known:
        kinds = {name.removeprefix(GATED) for name in known}
        raise ServerOptionError(
            f"backend store {shown} is no database that can be gated",
            f"an address that begins with {one_of(kinds)}",
            "mlflow-ext server --backend-store-uri sqlite:///mlflow.db",
        )


def _check_words(words: tuple[str, ...]) -> None:
    for word in words:
        if word.partition("=")[0] in OURS:
            raise ServerOptionError(
                f"{word} behind '--'",
                "options that leave the registry gated",
                "give --backend-store-uri and --auth before '--', and leave the others away",
            )


def _make_admin() -> None:
    """Create basic-auth's first user, or say why that cannot be."""
    from mlflow.exceptions import MlflowException
    from mlflow.server import _bootstrap_basic_auth

    try:
        _bootstrap_basic_auth()
    except MlflowException as error:
        raise ServerOptionError(
            error.message,
            "a password for the first admin",
            "export MLFLOW_AUTH_ADMIN_PASSWORD=…",
        ) from None
