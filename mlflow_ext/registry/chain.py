"""What makes the ledger tamper-evident: each line carries the hash of the one before it.

Pure: it works on lines from a database, from an export and from a bundle alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mlflow_ext.records import Entry


@dataclass(frozen=True, kw_only=True)
class Link:
    """One line as far as the chain is concerned; *body* is its canonical JSON."""

    id: int
    seq: int
    content: tuple[Any, ...]
    """Workspace, seq, kind, model, version, its creation, stage, time, actor, claimed, client."""
    body: str
    previous: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Break:
    """One place where the chain does not hold."""

    seq: int
    id: int
    problem: str


def canonical(values: Any) -> str:
    """Write JSON values in the one form that is hashed.

    >>> canonical({"b": 1, "a": "é"})
    '{"a":"é","b":1}'
    """
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_of(entry: Entry) -> tuple[Any, ...]:
    """Return what the hash of *entry* covers beside its body and the hash before it."""
    return (
        entry.workspace,
        entry.seq,
        str(entry.kind),
        entry.model,
        entry.version,
        entry.version_created_ms,
        entry.stage,
        entry.time_ms,
        entry.actor,
        entry.is_claimed,
        entry.client,
    )


def hash_link(content: tuple[Any, ...], body: str, previous: str) -> str:
    """Return the hash of one line, SHA-256 hex.

    Args:
        content: As `Link.content`.
        body: The body as canonical JSON.
        previous: Hash of the line before it; empty for the first.
    """
    text = json.dumps([*content, body, previous], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def split_link(content: tuple[Any, ...], body: str) -> tuple[str, str]:
    """Return what `hash_link` hashes before the number of a line, and behind it.

    For who learns number and previous hash last: behind the second part come the previous hash,
    which is hex or empty, and ``"]``.

    Args:
        content: As `Link.content`, without the number.
        body: The body as canonical JSON.
    """
    around = [
        json.dumps(part, separators=(",", ":"), ensure_ascii=False)[1:-1]
        for part in (content[:1], [*content[1:], body])
    ]
    return f"[{around[0]},", f',{around[1]},"'


def entry_hash(entry: Entry) -> str:
    """Return the hash that *entry* must carry, SHA-256 hex."""
    return hash_link(content_of(entry), canonical(entry.body), entry.previous)


def find_breaks(links: Iterable[Link], after: Link | None = None) -> Iterator[Break]:
    """Yield every line of one workspace that was edited, removed or put elsewhere.

    Args:
        links: The lines in the order of their numbers.
        after: The line before the first of *links*; None when that one begins the chain.
    """
    seq, previous, number = (after.seq, after.hash, after.id) if after else (0, "", 0)
    for link in links:
        if link.seq != seq + 1:
            gap = f"line {seq + 1}" if link.seq == seq + 2 else f"lines {seq + 1} to {link.seq - 1}"
            told = f"{gap} removed" if link.seq > seq else "the line is out of order"
            yield Break(seq=link.seq, id=link.id, problem=told)
        elif link.previous != previous:
            yield Break(seq=link.seq, id=link.id, problem="does not continue the line before it")
        elif link.id <= number:  # no hash covers it, but lines are appended one after the other
            told = f"its number is not above {number}, that of line {seq}"
            yield Break(seq=link.seq, id=link.id, problem=told)
        if hash_link(link.content, link.body, link.previous) != link.hash:
            yield Break(seq=link.seq, id=link.id, problem="the line was edited")
        seq, previous, number = link.seq, link.hash, link.id
