"""The ledger: what was asked, decided and done, in lines that are only ever appended.

One chain for each workspace (`mlflow_ext.registry.chain`). A line is written in the transaction of
what it tells, so neither is ever there without the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mlflow_ext.errors import LedgerError
from mlflow_ext.records import Entry, Kind
from mlflow_ext.registry.caller import Caller
from mlflow_ext.registry.chain import Break, Link, canonical, entry_hash, find_breaks, hash_link
from mlflow_ext.registry.outbox import enqueue
from mlflow_ext.registry.tables import heads, ledger

if TYPE_CHECKING:
    from sqlalchemy import CursorResult
    from sqlalchemy.orm import Session

PAGE = 5_000  # lines read at once: enough to be quick, few enough for memory


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A line before it has its place in the chain."""

    workspace: str
    kind: Kind
    model: str
    caller: Caller
    time_ms: int
    body: dict[str, Any]
    version: int | None = None
    version_created_ms: int | None = None
    stage: str | None = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest line of a chain; seq 0 and an empty hash before the first."""

    workspace: str
    seq: int
    hash: str


def append(session: Session, draft: Draft) -> Entry:
    """Write a line behind the newest of its workspace, and tell the webhooks that want it."""
    head = _lock_head(session, draft.workspace)
    told = json.loads(json.dumps(draft.body))  # as it will be read back: keys are strings
    body = canonical(told)
    values: dict[str, Any] = {
        "workspace": draft.workspace,
        "seq": head.seq + 1,
        "kind": str(draft.kind),
        "model": draft.model,
        "version": draft.version,
        "version_created_ms": draft.version_created_ms,
        "stage": draft.stage,
        "time_ms": draft.time_ms,
        "actor": draft.caller.actor[:256],
        "is_claimed": draft.caller.is_claimed,
        "client": draft.caller.client[:256],
    }
    digest = hash_link(tuple(values.values()), body, head.hash)
    row = {**values, "body": body, "previous": head.hash, "hash": digest}
    written = cast("CursorResult[Any]", session.execute(ledger.insert().values(row)))
    where = heads.c.workspace == draft.workspace
    session.execute(heads.update().where(where).values(seq=head.seq + 1, hash=digest))
    number = written.inserted_primary_key[0] if written.inserted_primary_key else 0
    entry = Entry(**{**row, "id": number, "body": told, "kind": draft.kind})
    enqueue(session, entry)
    return entry


def read_head(session: Session, workspace: str) -> Head:
    """Return the newest line of a chain."""
    row = session.execute(sa.select(heads).where(heads.c.workspace == workspace)).one_or_none()
    return Head(workspace=workspace, seq=row.seq if row else 0, hash=row.hash if row else "")


def read(
    session: Session,
    workspace: str,
    model: str | None = None,
    *,
    kinds: Sequence[Kind] = (),
    **equal: Any,
) -> list[Entry]:
    """Read lines, oldest first; None and an empty *kinds* mean all, columns *equal* the values.

    Raises:
        LedgerError: A line was edited.
    """
    query = sa.select(ledger).where(ledger.c.workspace == workspace)
    if model is not None:
        query = query.where(ledger.c.model == model)
    if kinds:
        query = query.where(ledger.c.kind.in_([str(kind) for kind in kinds]))
    for column, value in equal.items():
        query = query.where(ledger.c[column] == value)
    return [intact(entry_of(row)) for row in session.execute(query.order_by(ledger.c.seq))]


def read_newest(
    session: Session, workspace: str, model: str, kind: Kind, **equal: Any
) -> Entry | None:
    """Read the newest line of one kind about a model whose columns *equal* the given values.

    Raises:
        LedgerError: The line was edited.
    """
    query = sa.select(ledger).where(
        ledger.c.workspace == workspace, ledger.c.model == model, ledger.c.kind == str(kind)
    )
    for column, value in equal.items():
        query = query.where(ledger.c[column] == value)
    row = session.execute(query.order_by(ledger.c.seq.desc()).limit(1)).one_or_none()
    return intact(entry_of(row)) if row else None


def read_page(session: Session, workspace: str, after: int, limit: int) -> list[Entry]:
    """Read up to *limit* lines behind number *after*, as they are, edited ones too."""
    query = (
        sa.select(ledger)
        .where(ledger.c.workspace == workspace, ledger.c.seq > after)
        .order_by(ledger.c.seq, ledger.c.id)
        .limit(limit)
    )
    return [entry_of(row) for row in session.execute(query)]


def verify(session: Session, workspace: str) -> tuple[int, Head, list[Break]]:
    """Recompute the whole chain of a workspace.

    Returns:
        The number of lines, the head, and every line that was edited, removed or moved.
    """
    head = read_head(session, workspace)
    counted = _Counted(_links(session, workspace))
    breaks = list(find_breaks(counted))
    last = counted.last
    if (last.seq if last else 0, last.hash if last else "") != (head.seq, head.hash):
        told = f"the chain ends at line {last.seq if last else 0}, its head says {head.seq}"
        breaks.append(Break(seq=head.seq, id=0, problem=f"{told}: the last lines were removed"))
    return counted.count, head, breaks


def is_intact(entry: Entry) -> bool:
    """Tell whether a line still has the hash of what it says."""
    return entry_hash(entry) == entry.hash


def intact(entry: Entry) -> Entry:
    """Return *entry*.

    Raises:
        LedgerError: It was edited.
    """
    if not is_intact(entry) and entry.kind is not Kind.EVIDENCE:
        raise LedgerError(
            f"line {entry.seq} of the ledger ({entry.kind} of model '{entry.model}') was edited",
            "the line as it was written",
            "mlflow-ext audit verify",
        )
    return entry


def entry_of(row: Any) -> Entry:
    """Turn a row of the table into a record."""
    values = dict(row._mapping)
    return Entry(**{**values, "kind": Kind(values["kind"]), "body": json.loads(values["body"])})


def _lock_head(session: Session, workspace: str) -> Head:
    """Hold the head of the chain until the end of the transaction, and return it."""
    query = sa.select(heads).where(heads.c.workspace == workspace).with_for_update()
    row = session.execute(query).one_or_none()
    if row is None:
        # Somebody else may begin the same chain at this moment.
        with suppress(IntegrityError), session.begin_nested():
            session.execute(heads.insert().values(workspace=workspace, seq=0, hash=""))
        row = session.execute(query).one()
    return Head(workspace=workspace, seq=row.seq, hash=row.hash)


def _links(session: Session, workspace: str) -> Iterator[Link]:
    columns = [c for c in ledger.c if c.name not in ("id", "body", "previous", "hash")]
    tail = (ledger.c.body, ledger.c.previous, ledger.c.hash, ledger.c.id)
    query = sa.select(*columns, *tail).where(ledger.c.workspace == workspace)
    found = session.execute(query.order_by(ledger.c.seq, ledger.c.id)).yield_per(PAGE)
    for *content, body, previous, digest, number in found:
        yield Link(
            id=number,
            seq=content[1],
            content=tuple(content),
            body=body,
            previous=previous,
            hash=digest,
        )


class _Counted:
    """Passes links on and remembers how many there were, and the last."""

    def __init__(self, links: Iterator[Link]) -> None:
        self.links = links
        self.count = 0
        self.last: Link | None = None

    def __iter__(self) -> Iterator[Link]:
        for link in self.links:
            self.count += 1
            self.last = link
            yield link
