"""Webhooks on lines of the ledger: who is told, and what became of telling them."""

from __future__ import annotations

from dataclasses import asdict

from pydantic.dataclasses import dataclass

from mlflow_ext.registry.gated import outbox, webhooks
from mlflow_ext.registry.gated.operations._operation import (
    STRICT,
    Document,
    Nothing,
    Operation,
    Operations,
    Right,
    Text,
    Word,
)
from mlflow_ext.registry.gated.store import GatedStore


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NewWebhook:
    """Whom to tell of what."""

    url: Text
    events: tuple[Text, ...] = (webhooks.ALL,)
    secret: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AboutWebhook:
    """One webhook."""

    id: Text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PerhapsWebhook:
    """One webhook, or all."""

    id: Word | None = None


def create(store: GatedStore, asked: NewWebhook) -> Document:
    """Tell an address of every line of the given kinds from now on."""
    wanted = webhooks.Subscription(url=asked.url, events=asked.events, secret=asked.secret)
    with store.holding("") as moment:
        return asdict(webhooks.create_webhook(moment.connection, moment.workspace, wanted))


def list_all(store: GatedStore, _: Nothing) -> Document:
    """Return the webhooks; secrets are never shown."""
    with store.reading() as moment:
        found = webhooks.list_webhooks(moment.connection, moment.workspace)
    return {"webhooks": [asdict(webhook) for webhook in found]}


def delete(store: GatedStore, asked: AboutWebhook) -> Document:
    """End a webhook."""
    with store.holding("") as moment:
        webhooks.delete_webhook(moment.connection, moment.workspace, asked.id)
    return {"id": asked.id}


def deliveries(store: GatedStore, asked: PerhapsWebhook) -> Document:
    """Return the newest deliveries and what became of each."""
    with store.reading() as moment:
        found = outbox.list_deliveries(moment.connection, moment.workspace, asked.id)
    return {"deliveries": [asdict(delivery) for delivery in found]}


OPERATIONS: Operations = {
    "webhooks/create": Operation(
        answer=create, payload=NewWebhook, right=Right.ADMIN, is_write=True
    ),
    "webhooks/list": Operation(answer=list_all, payload=Nothing, right=Right.ADMIN),
    "webhooks/delete": Operation(
        answer=delete, payload=AboutWebhook, right=Right.ADMIN, is_write=True
    ),
    "webhooks/deliveries": Operation(answer=deliveries, payload=PerhapsWebhook, right=Right.ADMIN),
}
