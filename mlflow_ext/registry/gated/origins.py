"""From which tables the versions of a workspace come, whatever they are called now.

A version was made from the tables that its tags name and judged on those that its evidence names.
A model may have been renamed since, its files copied or registered once more: whatever has the same
files knows the same rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlflow_ext.errors import SignatureError, StatementError
from mlflow_ext.records import Entry, Kind
from mlflow_ext.registry import tags
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.places import spell
from mlflow_ext.registry.gated.standing import DELETED
from mlflow_ext.registry.signing import open_envelope, signer_of
from mlflow_ext.registry.statement import read_statement

if TYPE_CHECKING:
    from sqlalchemy import Connection

Tables = set[tuple[str, str]]
"""Name and fingerprint of each."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One version that is there, and the tables that it knows."""

    model: str
    version: int
    tables: frozenset[tuple[str, str]]
    """Name and fingerprint of each."""

    def named(self, fingerprints: Iterable[str]) -> list[str]:
        """Return the names of the tables that have one of *fingerprints*, in order."""
        asked = set(fingerprints)
        return sorted({name for name, fingerprint in self.tables if fingerprint in asked})


@dataclass(frozen=True, kw_only=True)
class _Version:
    model: str
    version: int
    created_ms: int
    files: str
    """Where they lie, in one spelling."""
    tables: Tables
    """What its tags name."""


def read_origins(connection: Connection, workspace: str) -> tuple[list[Origin], list[Entry]]:
    """Read where each version of a workspace comes from.

    Returns:
        The versions by model and number, and the evidence that cannot be relied on: nobody knows
        any more which rows it was about.
    """
    versions = _read_versions(connection, workspace)
    evidence, unreadable = _read_evidence(connection, workspace)
    digests: defaultdict[str, set[str]] = defaultdict(set)  # of the files that lie in one place
    known: defaultdict[str, Tables] = defaultdict(set)  # by place and by digest
    for piece, digest, tables in evidence:
        known[digest] |= tables
        for version in _judged(piece, versions):
            digests[version.files].add(digest)
    for version in versions:
        for mark in (version.files, *digests[version.files]):
            known[mark] |= version.tables
    return [
        Origin(
            model=version.model,
            version=version.version,
            tables=frozenset[tuple[str, str]]().union(
                *(known[mark] for mark in (version.files, *digests[version.files]))
            ),
        )
        for version in versions
    ], unreadable


def _judged(piece: Entry, versions: list[_Version]) -> Iterator[_Version]:
    """Yield what a piece of evidence is about; a rename changes neither number nor time."""
    about = piece.version, piece.version_created_ms
    same = [v for v in versions if (v.version, v.created_ms) == about]
    yield from [v for v in same if v.model == piece.model] or same


def _read_evidence(
    connection: Connection, workspace: str
) -> tuple[list[tuple[Entry, str, Tables]], list[Entry]]:
    """Return each piece with the digest of the files and the tables that it names; and the rest."""
    readable, unreadable = [], []
    for piece in ledger.read(connection, workspace, kinds=[Kind.EVIDENCE]):
        envelope = piece.body.get("envelope", {})
        try:
            report, binding = read_statement(open_envelope(envelope, signer_of(envelope)))
        except (SignatureError, StatementError):
            unreadable.append(piece)
            continue
        if not ledger.is_intact(piece):
            unreadable.append(piece)
        readable.append((piece, binding.model_digest, set(report.fingerprints.items())))
    return readable, unreadable


def _read_versions(connection: Connection, workspace: str) -> list[_Version]:
    found: dict[tuple[str, int], _Version] = {}
    for row in connection.execute(_versions(), {"ours": workspace}):
        new = _Version(
            model=row.name,
            version=int(row.version),
            created_ms=int(row.creation_time),
            files=_place(row, workspace),
            tables=set(),
        )
        version = found.setdefault((new.model, new.version), new)
        if row.key is not None:
            version.tables.add((row.key.removeprefix(tags.FINGERPRINT), row.value))
    return list(found.values())


def _place(row: Any, workspace: str) -> str:
    location = row.storage_location or row.source
    return spell(location, workspace) if location else f"{row.name}/{row.version}"


@cache
def _versions() -> Any:
    """Build the query once: one row for each version and each table that a tag of it names."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag

    held, tagged = (
        sa.inspect(table).local_table for table in (SqlModelVersion, SqlModelVersionTag)
    )
    same = [held.c[key] == tagged.c[key] for key in ("workspace", "name", "version")]
    is_table = tagged.c.key.startswith(tags.FINGERPRINT, autoescape=True)
    columns = ("name", "version", "creation_time", "source", "storage_location")
    return (
        sa.select(*(held.c[name] for name in columns), tagged.c.key, tagged.c.value)
        .select_from(held.outerjoin(tagged, sa.and_(*same, is_table)))
        .where(held.c.workspace == sa.bindparam("ours"), held.c.current_stage != DELETED)
        .order_by(held.c.name, held.c.version)
    )
