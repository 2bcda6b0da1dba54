"""The ledger: what was asked, decided and done, in lines that are only ever appended.

One chain for each workspace (`mlflow_ext.registry.chain`). A line is written in the transaction of
what it tells, so neither is ever there without the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.errors import LedgerError
from mlflow_ext.records import Action, Entry, Kind, Transition
from mlflow_ext.registry.chain import Break, Link, canonical, entry_hash, find_breaks
from mlflow_ext.registry.gated.caller import Caller
from mlflow_ext.registry.gated.chaining import extend
from mlflow_ext.registry.gated.outbox import enqueue
from mlflow_ext.registry.gated.tables import (
    ABOUT_A_VERSION,
    heads,
    is_about_a_version,
    ledger,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mlflow_ext.registry.gated.standing import VersionRow
    from mlflow_ext.registry.gated.transaction import Moment

VOTES = (Kind.APPROVAL, Kind.REJECTION)
AUTHORS = (Kind.REGISTRATION, Kind.REQUEST, Kind.EVIDENCE)
PAGE = 5_000  # lines read at once: enough to be quick, few enough for memory
HEAD = sa.select(heads).where(heads.c.workspace == sa.bindparam("ours"))


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A line before it has its place in the chain."""

    workspace: str
    kind: Kind
    model: str
    caller: Caller
    time_ms: int
    body: dict[str, Any]
    """JSON values; every key a text, for it is sorted before and after it was read."""
    version: int | None = None
    version_created_ms: int | None = None
    stage: str | None = None


def draft(
    moment: Moment,
    kind: Kind,
    body: dict[str, Any],
    row: VersionRow | None = None,
    stage: str | None = None,
) -> Draft:
    """Begin a line about the model of a transaction, or about one of its versions.

    Args:
        moment: The transaction; it says who asks, and when.
        kind: What the line tells.
        body: What the kind of line holds, as JSON values.
        row: The version; None: the model as a whole.
        stage: The stage the line is about, if any.
    """
    return Draft(
        workspace=moment.workspace,
        kind=kind,
        model=moment.model,
        caller=moment.caller,
        time_ms=moment.now_ms,
        body=body,
        version=row.version if row else None,
        version_created_ms=row.created_ms if row else None,
        stage=stage,
    )


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest line of a chain; seq 0 and an empty hash before the first."""

    workspace: str
    seq: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """The lines that a decision about one version rests on."""

    policy: Entry | None
    """The newest policy of the model."""
    last_move: Entry | None
    """The newest transition of the version, or of one that had its number before."""
    last_visit: Entry | None
    """The newest transition of such a version to the stage."""
    about: list[Entry]
    """Everything said about the version, oldest first."""


def append(connection: Connection, draft: Draft) -> Entry:
    """Write a line behind the newest of its workspace, and tell the webhooks that want it."""
    seq = append_all(connection, [draft])
    return read_page(connection, draft.workspace, seq - 1, 1)[0]


def append_all(connection: Connection, drafts: Sequence[Draft]) -> int:
    """Write lines of one workspace, in their order, as `append` does; returns the last number."""
    workspace = drafts[0].workspace
    contents = [_content(draft) for draft in drafts]  # before anybody has to wait for it
    last, has_webhooks = extend(connection, workspace, contents)
    if has_webhooks:
        enqueue(connection, read_page(connection, workspace, last - len(drafts), len(drafts)))
    return last


def read_head(connection: Connection, workspace: str) -> Head:
    """Return the newest line of a chain."""
    row = connection.execute(HEAD, {"ours": workspace}).one_or_none()
    return Head(workspace=workspace, seq=row.seq if row else 0, hash=row.hash if row else "")


def read(
    connection: Connection,
    workspace: str,
    model: str | None = None,
    *,
    kinds: Sequence[Kind] = (),
    **equal: Any,
) -> list[Entry]:
    """Read lines as `scan` does, all at once."""
    return list(scan(connection, workspace, model, kinds=kinds, **equal))


def scan(
    connection: Connection,
    workspace: str,
    model: str | None = None,
    *,
    kinds: Sequence[Kind] = (),
    **equal: Any,
) -> Iterator[Entry]:
    """Yield lines, oldest first; None and an empty *kinds* mean all, columns *equal* the values.

    Raises:
        LedgerError: A line was edited.
    """
    values = {"workspace": workspace, "model": model, "kind": [str(kind) for kind in kinds]}
    given = {column: value for column, value in (values | equal).items() if value}
    rows = connection.execute(_query(*given), given).yield_per(PAGE)
    for entry in map(entry_of, rows):
        # Evidence that was edited is listed and says so; what decides on it calls `intact` itself.
        yield entry if entry.kind is Kind.EVIDENCE else intact(entry)


def read_case(
    connection: Connection, workspace: str, model: str, version: int, stage: str = ""
) -> Case:
    """Read in one query what a decision about a version, and perhaps a stage, rests on.

    Raises:
        LedgerError: A line was edited.
    """
    about = {"workspace": workspace, "model": model, "version": version, "stage": stage}
    found = [intact(entry_of(row)) for row in connection.execute(_case(), about)]
    moves = sorted((e for e in found if e.kind is Kind.TRANSITION), key=lambda e: e.seq)
    return Case(
        policy=next((e for e in found if e.kind is Kind.POLICY), None),
        last_move=moves[-1] if moves else None,
        last_visit=next((e for e in moves if e.stage == stage), None),
        about=sorted((e for e in found if e.kind in ABOUT_A_VERSION), key=lambda e: e.seq),
    )


def read_newest(
    connection: Connection, workspace: str, model: str, kind: Kind, **equal: Any
) -> Entry | None:
    """Read the newest line of one kind about a model whose columns *equal* the given values.

    Without a *version* among them it is a line about the model as a whole.

    Raises:
        LedgerError: The line was edited.
    """
    given = {"workspace": workspace, "model": model, **equal}
    row = connection.execute(_newest(kind, *equal), given).one_or_none()
    return intact(entry_of(row)) if row else None


def read_page(connection: Connection, workspace: str, after: int, limit: int) -> list[Entry]:
    """Read up to *limit* lines behind number *after*, as they are, edited ones too."""
    query = (
        sa.select(ledger)
        .where(ledger.c.workspace == workspace, ledger.c.seq > after)
        .order_by(ledger.c.seq, ledger.c.id)
        .limit(limit)
    )
    return [entry_of(row) for row in connection.execute(query)]


def verify(connection: Connection, workspace: str) -> tuple[int, Head, list[Break]]:
    """Recompute the whole chain of a workspace.

    Returns:
        The number of lines, the head, and every line that was edited, removed or moved.
    """
    lines = _Lines(connection, workspace)
    breaks = list(find_breaks(lines))
    head, last = lines.head, lines.last
    if (last.seq if last else 0, last.hash if last else "") != (head.seq, head.hash):
        told = f"the chain ends at line {last.seq if last else 0}, its head says {head.seq}"
        breaks.append(Break(seq=head.seq, id=0, problem=f"{told}: the last lines were removed"))
    return lines.count, head, breaks


def is_intact(entry: Entry) -> bool:
    """Tell whether a line still has the hash of what it says."""
    return entry_hash(entry) == entry.hash


def intact(entry: Entry) -> Entry:
    """Return *entry*.

    Raises:
        LedgerError: It was edited.
    """
    if not is_intact(entry):
        raise LedgerError(
            f"line {entry.seq} of the ledger ({entry.kind} of model '{entry.model}') was edited",
            "the line as it was written",
            "mlflow-ext audit verify",
        )
    return entry


def transition_of(entry: Entry) -> Transition:
    """Return the move that a line of that kind tells of."""
    told = entry.body["transition"]
    return Transition(**{**told, "action": Action(told["action"])})


def entry_of(row: Any) -> Entry:
    """Turn a row of the table into a record."""
    told = {"kind": Kind(row.kind), "body": json.loads(row.body)}
    return Entry(**{**row._mapping, **told})


@cache
def _query(*columns: str) -> sa.Select[Any]:
    """Build a query once: SQLAlchemy takes longer to put one together than SQLite to answer it."""
    one_of = {"kind": ledger.c.kind.in_(sa.bindparam("kind", expanding=True))}
    where = [one_of.get(name, _is(name)) for name in columns]
    return sa.select(ledger).where(*where).order_by(ledger.c.seq)


@cache
def _newest(kind: Kind, *equal: str) -> sa.Select[Any]:
    """Build a query that finds one line at the end of the index, however long the ledger is.

    For that it must name each column of the index, and ask for the order of the index.
    """
    version = _is("version") if "version" in equal else ledger.c.version.is_(None)
    where = [_is(name) for name in ("workspace", "model", *equal) if name != "version"]
    return (
        sa.select(ledger)
        .where(*where, ledger.c.kind == str(kind), version)
        .order_by(ledger.c.version.desc(), ledger.c.seq.desc())
        .limit(1)
    )


@cache
def _case() -> sa.CompoundSelect[Any]:
    """Build the query for a `Case`; a line that is the newest in two ways comes once."""
    newest = [
        query.with_only_columns(ledger.c.id).scalar_subquery()
        for query in (
            _newest(Kind.POLICY),
            _newest(Kind.TRANSITION, "version"),
            _newest(Kind.TRANSITION, "version", "stage"),
        )
    ]
    return sa.union_all(
        sa.select(ledger).where(ledger.c.id.in_(newest)),
        sa.select(ledger).where(_is("workspace"), _is("model"), is_about_a_version, _is("version")),
    )


def _is(column: str) -> sa.ColumnElement[bool]:
    return ledger.c[column] == sa.bindparam(column)


def _content(draft: Draft) -> dict[str, Any]:
    """Return the columns that do not follow from the place in the chain, in the table's order."""
    return {
        "workspace": draft.workspace,
        "kind": str(draft.kind),
        "model": draft.model,
        "version": draft.version,
        "version_created_ms": draft.version_created_ms,
        "stage": draft.stage,
        "time_ms": draft.time_ms,
        "actor": draft.caller.actor[:256],
        "is_claimed": draft.caller.is_claimed,
        "client": draft.caller.client[:256],
        "body": canonical(draft.body),
    }


class _Lines:
    """Passes the lines of a chain on, and remembers how many there were, the last, and the head.

    The head comes with the lines, in one statement: between two the chain may have grown.
    """

    def __init__(self, connection: Connection, workspace: str) -> None:
        self._connection = connection
        self.head = read_head(connection, workspace)
        self.count = 0
        self.last: Link | None = None

    def __iter__(self) -> Iterator[Link]:
        given = {"workspace": self.head.workspace, "ours": self.head.workspace}
        for row in self._connection.execute(_chain(), given).yield_per(PAGE):
            *content, body, previous, digest, number, seq, newest = row
            self.count += 1
            self.last = Link(
                id=number,
                seq=content[1],
                content=tuple(content),
                body=body,
                previous=previous,
                hash=digest,
            )
            yield self.last
        if self.last:
            self.head = Head(workspace=self.head.workspace, seq=seq or 0, hash=newest or "")


@cache
def _chain() -> sa.Select[Any]:
    columns = [c for c in ledger.c if c.name not in ("id", "body", "previous", "hash")]
    tail = (ledger.c.body, ledger.c.previous, ledger.c.hash, ledger.c.id)
    newest = [HEAD.with_only_columns(c).scalar_subquery() for c in (heads.c.seq, heads.c.hash)]
    query = sa.select(*columns, *tail, *newest).where(_is("workspace"))
    return query.order_by(ledger.c.seq, ledger.c.id)
