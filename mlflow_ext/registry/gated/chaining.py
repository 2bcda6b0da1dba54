"""Putting lines behind the newest one of a chain.

Each carries the hash of the one before it, so only one writer at a time can: it holds the head of
the chain until its transaction ends, and all others wait. PostgreSQL therefore continues the chain
itself, in one statement: while the head is held no line travels and no Python runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mlflow_ext.registry.chain import hash_link, split_link
from mlflow_ext.registry.gated.tables import heads, ledger, webhooks

if TYPE_CHECKING:
    from sqlalchemy import Connection

FEW = 32
"""Lines that PostgreSQL chains in one statement: it looks at all of them for each."""
OURS = heads.c.workspace == sa.bindparam("ours")
HOOKS = sa.select(sa.func.count()).where(webhooks.c.workspace == heads.c.workspace)
COUNTED = HOOKS.scalar_subquery().label("hooks")
LOCK_HEAD = sa.select(heads, COUNTED).where(OURS).with_for_update(of=heads)
SET_HEAD = heads.update().where(OURS).values(seq=sa.bindparam("seq"), hash=sa.bindparam("hash"))
PLACED = ("id", "seq", "previous", "hash")
"""The columns of a line that follow from its place in the chain."""


def extend(
    connection: Connection, workspace: str, contents: Sequence[dict[str, Any]]
) -> tuple[int, bool]:
    """Write lines of one workspace behind the newest, in their order.

    Args:
        connection: Holds the head of the chain from here to the end of its transaction.
        workspace: Whose chain it is.
        contents: The lines: each column but those that follow from the place in the chain, in the
            order of the table; *body* is canonical JSON.

    Returns:
        The number of the last line, and whether any webhook may want to hear of them.
    """
    is_quick = connection.dialect.name == "postgresql" and len(contents) <= FEW
    put = _put_inside if is_quick else _put_from_here
    found = put(connection, workspace, contents)
    if found is None:
        _begin(connection, workspace)
        found = put(connection, workspace, contents)
    if found is None:
        raise RuntimeError(f"the chain of workspace '{workspace}' has no head")
    return found


def _begin(connection: Connection, workspace: str) -> None:
    """Make the head of a chain, unless somebody else does so at this moment."""
    row = {"workspace": workspace, "seq": 0, "hash": ""}
    if connection.dialect.name == "mysql":  # where all who fail would wait for each other
        from sqlalchemy.dialects.mysql import insert

        made = insert(heads).values(row)
        connection.execute(made.on_duplicate_key_update(seq=heads.c.seq))
        return
    with suppress(IntegrityError), connection.begin_nested():
        connection.execute(heads.insert().values(row))


def _put_from_here(
    connection: Connection, workspace: str, contents: Sequence[dict[str, Any]]
) -> tuple[int, bool] | None:
    """Fetch the head, compute the hashes, and write; None: there is no head."""
    head = connection.execute(LOCK_HEAD, {"ours": workspace}).one_or_none()
    if head is None:
        return None
    seq, newest, lines = head.seq, head.hash, []
    for content in contents:
        previous, seq = newest, seq + 1
        said = [content[name] for name in content if name != "body"]
        newest = hash_link((said[0], seq, *said[1:]), content["body"], previous)
        lines.append({**content, "seq": seq, "previous": previous, "hash": newest})
    connection.execute(ledger.insert(), lines)
    connection.execute(SET_HEAD, {"ours": workspace, "seq": seq, "hash": newest})
    return seq, head.hooks > 0


def _put_inside(
    connection: Connection, workspace: str, contents: Sequence[dict[str, Any]]
) -> tuple[int, bool] | None:
    """Let PostgreSQL do the same; None: there is no head."""
    drafts = []
    for number, content in enumerate(contents, 1):
        said = tuple(content[name] for name in content if name != "body")
        before, after = split_link(said, content["body"])
        drafts.append({**content, "number": number, "before": before, "after": after})
    given = {"ours": workspace, "drafts": json.dumps(drafts, ensure_ascii=False)}
    row = connection.execute(_chain(), given).one_or_none()
    return (row.seq, row.hooks > 0) if row else None


@cache
def _chain() -> sa.TextClause:
    """Build the statement.

    The head is read with its lock, so after whoever held it; what is made of it comes later.
    """
    from sqlalchemy.dialects.postgresql import dialect

    columns = [c for c in ledger.c if c.name not in PLACED]
    postgresql = dialect()  # type: ignore[no-untyped-call]
    names = ", ".join(c.name for c in columns)
    typed = ", ".join(f"{c.name} {c.type.compile(postgresql)}" for c in columns)
    return sa.text(f"""
        WITH RECURSIVE head AS (
            SELECT seq, hash FROM {heads.name} WHERE workspace = :ours FOR UPDATE
        ), draft AS (
            SELECT * FROM json_to_recordset(CAST(:drafts AS json))
            AS d(number int, before text, after text, {typed})
        ), link(number, seq, previous, hash) AS (
            SELECT 0, seq, CAST('' AS text), CAST(hash AS text) FROM head
            UNION ALL
            SELECT d.number, l.seq + 1, l.hash, encode(sha256(convert_to(
                d.before || (l.seq + 1) || d.after || l.hash || '"]', 'UTF8')), 'hex')
            FROM link l JOIN draft d ON d.number = l.number + 1
        ), line AS (
            INSERT INTO {ledger.name} (seq, previous, hash, {names})
            SELECT seq, previous, hash, {names}
            FROM link JOIN draft USING (number) ORDER BY number
        )
        UPDATE {heads.name} AS ours SET seq = newest.seq, hash = newest.hash
        FROM (SELECT seq, hash FROM link ORDER BY number DESC LIMIT 1) AS newest
        WHERE ours.workspace = :ours
        RETURNING ours.seq,
            (SELECT count(*) FROM {webhooks.name} WHERE workspace = :ours) AS hooks
    """)
