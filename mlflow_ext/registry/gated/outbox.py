"""What is still to be told: deliveries, written in the transaction that they tell of.

A delivery that is due is *taken* by moving its due time into the future, compared and swapped in
one UPDATE: several processes and servers on one database take each once. Whoever dies with a
delivery in hand leaves it to be taken again, so that it is made at least once; its id tells a
receiver that it has seen it before.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.records import Entry
from mlflow_ext.registry.gated.tables import deliveries
from mlflow_ext.registry.gated.webhooks import ALL, find_subscribed

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

BULKY = ("envelope", "dossier")  # parts of a body that a receiver asks the registry for
CANDIDATES = 20  # due deliveries looked at when others take them at the same moment


class State(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One line of the ledger on its way to one webhook."""

    id: str
    webhook: str
    event: str
    """``model_version.transition``, ``registered_model.policy``, …"""
    state: State
    attempts: int
    answer: str
    """What came back last: the HTTP status, or why there was none."""
    created_ms: int
    due_ms: int | None
    """When it is tried next; None when it is not."""
    delivered_ms: int | None


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A delivery that is this process's to make, until *due_ms*."""

    id: str
    webhook: str
    payload: str
    attempts: int
    """How often it was taken, this time included."""
    due_ms: int


def enqueue(session: sa.Connection | Session, entries: Sequence[Entry]) -> None:
    """Write a delivery of each of *entries* for each webhook that wants it, in one transaction.

    Args:
        session: The transaction in which the entries are written.
        entries: Lines of one workspace.
    """
    subscribed = find_subscribed(session, entries[0].workspace)
    rows = [
        _row(entry, webhook)
        for entry in entries
        for webhook, kinds in subscribed.items()
        if {ALL, str(entry.kind)} & kinds
    ]
    if rows:
        session.execute(deliveries.insert(), rows)


def describe_entry(entry: Entry) -> dict[str, Any]:
    """Put a line of the ledger into the envelope that MLflow's own webhooks use."""
    body = {key: value for key, value in entry.body.items() if key not in BULKY}
    return {
        "entity": "registered_model" if entry.version is None else "model_version",
        "action": str(entry.kind),
        "timestamp": datetime.fromtimestamp(entry.time_ms / 1000, UTC).isoformat(),
        "data": asdict(entry) | {"body": body},
        "workspace": entry.workspace,
    }


def list_deliveries(
    session: sa.Connection | Session, workspace: str, webhook: str | None = None, limit: int = 100
) -> list[Delivery]:
    """Return the newest deliveries of a workspace, newest first; *webhook* None means all."""
    query = sa.select(deliveries).where(deliveries.c.workspace == workspace)
    if webhook is not None:
        query = query.where(deliveries.c.webhook == webhook)
    newest = query.order_by(deliveries.c.created_ms.desc(), deliveries.c.id).limit(limit)
    return [_shown(row._mapping) for row in session.execute(newest)]


def take(engine: sa.Engine, now_ms: int, lease_ms: int) -> Taken | None:
    """Take one delivery that is due; None when there is none, or others were quicker.

    Args:
        engine: The registry's database.
        now_ms: The time, in milliseconds since the epoch.
        lease_ms: After this long without `settle` it may be taken again.
    """
    due = sa.select(deliveries).where(deliveries.c.due_ms <= now_ms).order_by(deliveries.c.due_ms)
    with engine.connect() as connection:
        rows = connection.execute(due.limit(CANDIDATES)).all()
    leased = now_ms + lease_ms
    for row in rows:
        if _swap(engine, row.id, row.due_ms, {"due_ms": leased, "attempts": row.attempts + 1}):
            return Taken(
                id=row.id,
                webhook=row.webhook,
                payload=row.payload,
                attempts=row.attempts + 1,
                due_ms=leased,
            )
    return None


def settle_delivered(engine: sa.Engine, taken: Taken, answer: str, now_ms: int) -> bool:
    """Record that a delivery has arrived; False when the lease was over."""
    changes = {"due_ms": None, "delivered_ms": now_ms, "answer": _cut(answer)}
    return _swap(engine, taken.id, taken.due_ms, changes)


def settle_failed(engine: sa.Engine, taken: Taken, answer: str, due_ms: int | None) -> bool:
    """Record that a delivery failed and is next tried at *due_ms*, never when None; as above."""
    return _swap(engine, taken.id, taken.due_ms, {"due_ms": due_ms, "answer": _cut(answer)})


def _row(entry: Entry, webhook: str) -> dict[str, Any]:
    payload = describe_entry(entry)
    return {
        "id": str(uuid.uuid4()),
        "webhook": webhook,
        "workspace": entry.workspace,
        "event": f"{payload['entity']}.{payload['action']}",
        "payload": json.dumps(payload),
        "created_ms": entry.time_ms,
        "due_ms": entry.time_ms,
        "attempts": 0,
        "answer": "",
    }


def _swap(engine: sa.Engine, delivery: str, due_ms: int, changes: Mapping[str, Any]) -> bool:
    """Change a delivery if nobody else has done so since it was due at *due_ms*."""
    unchanged = (deliveries.c.id == delivery) & (deliveries.c.due_ms == due_ms)
    with engine.begin() as connection:
        return (
            connection.execute(deliveries.update().where(unchanged).values(changes)).rowcount == 1
        )


def _cut(answer: str) -> str:
    limit: int = deliveries.c.answer.type.length  # type: ignore[attr-defined]
    return answer[:limit]


def _shown(row: Any) -> Delivery:
    if row["delivered_ms"] is not None:
        state = State.DELIVERED
    else:
        state = State.GIVEN_UP if row["due_ms"] is None else State.PENDING
    columns = ("id", "webhook", "event", "attempts", "answer", "created_ms", "due_ms")
    values = {name: row[name] for name in columns}
    return Delivery(**values, state=state, delivered_ms=row["delivered_ms"])
