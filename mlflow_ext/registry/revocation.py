"""Which evidence was withdrawn, from lines of the ledger or of a bundle alike. Pure.

A revocation names the line that it withdraws by its place in the chain and its hash, which nobody
can change unseen. The line's number in the database, by which people ask for it, is covered by no
hash; old revocations name nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow_ext.records import Entry, Kind


def point_at(line: Entry) -> dict[str, Any]:
    """Return what names *line* in the body of another line."""
    return {"entry": line.id, "seq": line.seq, "hash": line.hash}


def name_target(revocation: Entry) -> str:
    """Return the name of the line that is withdrawn, one of its `names_of`."""
    body = revocation.body
    return f"{body.get('seq')} {body['hash']}" if "hash" in body else str(body.get("entry"))


def names_of(line: Entry) -> set[str]:
    """Return by what a revocation may name *line*."""
    return {str(line.id), f"{line.seq} {line.hash}"}


def pair_revocations(entries: Sequence[Entry]) -> list[tuple[Entry, Entry | None]]:
    """Return each revocation with the evidence it withdraws; None: that is not among *entries*."""
    told = [entry for entry in entries if entry.kind is Kind.EVIDENCE]
    named = {name: line for line in told for name in names_of(line)}
    gone = [entry for entry in entries if entry.kind is Kind.REVOCATION]
    return [(revocation, named.get(name_target(revocation))) for revocation in gone]


def said(line: Entry) -> str:
    """Return what a piece of evidence says: handed in again, or signed again, it is no other."""
    envelope = line.body.get("envelope")
    return str(envelope.get("payload")) if isinstance(envelope, dict) else ""
