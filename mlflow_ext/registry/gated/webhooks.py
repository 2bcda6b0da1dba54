"""Who is told of lines of the ledger: the subscriptions of a workspace.

MLflow has webhooks of its own, for what is created, tagged or given an alias; none for a change of
stage, a deletion, a rename or anything that only this registry knows. Ours obey the same rules:
which addresses are allowed (``MLFLOW_WEBHOOK_ALLOWED_SCHEMES``,
``MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS``), how the secret is kept
(``MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY``) and how a request is signed.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.errors import UnknownNameError, WebhookError
from mlflow_ext.records import Kind
from mlflow_ext.registry.gated.tables import webhooks

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

ALL = "*"
KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
SUBSCRIBED = sa.select(webhooks.c.id, webhooks.c.events).where(
    webhooks.c.workspace == sa.bindparam("ours")
)
NEW_KEY = (
    "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What somebody asks for."""

    url: str
    events: tuple[str, ...] = (ALL,)
    """Kinds of ledger lines, or ``*`` for every one."""
    secret: str | None = field(default=None, repr=False)
    """What requests are signed with; None leaves them unsigned."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A subscription as it is shown: whether it has a secret, never which."""

    id: str
    workspace: str
    url: str
    events: tuple[str, ...]
    has_secret: bool
    created_ms: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a request goes and what signs it."""

    url: str
    secret: str | None = field(repr=False)


def create_webhook(
    session: sa.Connection | Session, workspace: str, wanted: Subscription
) -> Webhook:
    """Subscribe to lines of a workspace's ledger, from the next one on.

    Raises:
        UnknownNameError: An event is no kind of line.
        WebhookError: The address is not allowed, or the secret cannot be kept.
    """
    check_url(wanted.url)
    row = {
        "id": str(uuid.uuid4()),
        "workspace": workspace,
        "url": _fit(wanted.url, "url"),
        "events": ",".join(_check_events(wanted.events)),
        "secret": _encrypt(wanted.secret) if wanted.secret else None,
        "created_ms": time.time_ns() // 1_000_000,
    }
    session.execute(webhooks.insert().values(row))
    return _shown(row)


def list_webhooks(session: sa.Connection | Session, workspace: str) -> list[Webhook]:
    """Return the subscriptions of a workspace, oldest first."""
    query = sa.select(webhooks).where(webhooks.c.workspace == workspace)
    found = session.execute(query.order_by(webhooks.c.created_ms, webhooks.c.id))
    return [_shown(row._mapping) for row in found]


def delete_webhook(session: sa.Connection | Session, workspace: str, webhook: str) -> None:
    """End a subscription; deliveries that still wait are given up.

    Raises:
        UnknownNameError: The workspace has no such webhook.
    """
    known = [each.id for each in list_webhooks(session, workspace)]
    if webhook not in known:
        raise UnknownNameError("webhook", webhook, known, f"workspace '{workspace}'")
    session.execute(webhooks.delete().where(webhooks.c.id == webhook))


def find_subscribed(session: sa.Connection | Session, workspace: str) -> dict[str, frozenset[str]]:
    """Return the kinds of lines that each webhook of a workspace wants: one small query."""
    found = session.execute(SUBSCRIBED, {"ours": workspace})
    return {row.id: frozenset(row.events.split(",")) for row in found}


def find_target(session: sa.Connection | Session, webhook: str) -> Target | None:
    """Return where the deliveries of a webhook go, or None when it is gone.

    Raises:
        WebhookError: Its secret cannot be read with the key of this server.
    """
    query = sa.select(webhooks.c.url, webhooks.c.secret).where(webhooks.c.id == webhook)
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    return Target(url=row.url, secret=_decrypt(row.secret) if row.secret else None)


def check_url(url: str) -> None:
    """Apply MLflow's own rules to an address: its scheme, its host, where its name leads.

    Raises:
        WebhookError: They do not allow it.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_webhook_url

    try:
        _validate_webhook_url(url)
    except MlflowException as error:
        raise WebhookError(
            error.message,
            "an https address whose name leads to public IP addresses only",
            "on a private network start the server with MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https"
            " and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true",
        ) from None


def _check_events(events: Sequence[str]) -> list[str]:
    known = {ALL, *map(str, Kind)}
    for event in events:
        if event not in known:
            raise UnknownNameError("event", event, known)
    if not events:
        raise WebhookError("no events", "at least one kind of line, or *", "name an event")
    return sorted(set(events))


def _encrypt(secret: str) -> str:
    # Without the key MLflow takes a random one for each process: nothing signs after a restart.
    if not os.environ.get(KEY):
        raise WebhookError(f"{KEY} is not set", "the key that secrets are kept with", NEW_KEY)
    return _fit(_cipher().process_bind_param(secret, None), "secret")


def _decrypt(kept: str) -> str:
    from cryptography.fernet import InvalidToken

    try:
        return str(_cipher().process_result_value(kept, None))
    except InvalidToken:
        raise WebhookError(
            "the secret cannot be decrypted",
            f"the {KEY} that it was encrypted with",
            f"start the server with that {KEY}, or create the webhook again",
        ) from None


def _cipher() -> Any:
    """MLflow's column type for secrets; it reads the key when it is made."""
    from mlflow.store.model_registry.dbmodels.models import EncryptedString

    try:
        return EncryptedString()  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise WebhookError(f"{KEY}: {error}", "a Fernet key", NEW_KEY) from None


def _fit(value: str, column: str) -> str:
    limit: int = webhooks.c[column].type.length  # type: ignore[attr-defined]
    if len(value) > limit:
        raise WebhookError(
            f"the {column} takes {len(value)} characters as it is kept",
            f"at most {limit}",
            f"use a shorter {column}",
        )
    return value


def _shown(row: Any) -> Webhook:
    return Webhook(
        id=row["id"],
        workspace=row["workspace"],
        url=row["url"],
        events=tuple(row["events"].split(",")),
        has_secret=row["secret"] is not None,
        created_ms=row["created_ms"],
    )
