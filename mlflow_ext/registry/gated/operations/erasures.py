"""Erasure requests: what was taken out of the data of a model, and which versions still know it.

The ledger is kept for ever, so a line names the request and never the person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import SignatureError, StatementError
from mlflow_ext.records import Entry, GateReport, Kind
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.governance import find_policy
from mlflow_ext.registry.gated.operations._operation import (
    LARGEST,
    STRICT,
    AboutModel,
    Document,
    Operation,
    Operations,
    Reason,
    Right,
    Text,
)
from mlflow_ext.registry.gated.standing import INACTIVE, read_standing
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.signing import open_envelope, signer_of
from mlflow_ext.registry.statement import read_statement

Short = Annotated[Text, Field(max_length=100)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Erasure(AboutModel):
    """Rows were erased from tables of a model."""

    request: Short
    """The number of the request, as the register of requests has it; no name, no address."""
    fingerprints: Annotated[tuple[Short, ...], Field(min_length=1, max_length=100)]
    """Of the tables as they were, with the rows."""
    rows: Annotated[int, Field(ge=0, le=LARGEST)]
    """How many were erased."""
    reason: Annotated[Reason, Field(min_length=1)]


def record(store: GatedStore, asked: Erasure) -> Document:
    """Write an erasure into the ledger; the same once more is no new line."""
    body = {
        "request": asked.request,
        "fingerprints": sorted(set(asked.fingerprints)),
        "rows": asked.rows,
        "reason": asked.reason,
    }
    with store.holding(asked.model) as moment:
        for line in _read(moment, Kind.ERASURE):
            if line.body == body:
                return _told(line)
        return _told(ledger.append(moment.connection, ledger.draft(moment, Kind.ERASURE, body)))


def list_erasures(store: GatedStore, asked: AboutModel) -> Document:
    """Return the erasures of a model, and each version that was judged on the rows before one."""
    with store.reading(asked.model) as moment:
        lines = _read(moment, Kind.ERASURE)
        evidence = _read(moment, Kind.EVIDENCE)
        affected = [each for line in lines for each in _affected(moment, line, evidence)]
    return {
        "model": asked.model,
        "erasures": [_told(line) for line in lines],
        "affected": affected,
        "is_clean": all(each["stage"] in INACTIVE for each in affected),
    }


OPERATIONS: Operations = {
    "erasures/record": Operation(answer=record, payload=Erasure, right=Right.MANAGE, is_write=True),
    "erasures/list": Operation(answer=list_erasures, payload=AboutModel, right=Right.READ),
}


def _read(moment: Moment, kind: Kind) -> list[Entry]:
    return ledger.read(moment.connection, moment.workspace, moment.model, kinds=[kind])


def _told(line: Entry) -> Document:
    return {"seq": line.seq, "time_ms": line.time_ms, "actor": line.actor, **line.body}


def _affected(moment: Moment, line: Entry, evidence: Sequence[Entry]) -> Iterator[Document]:
    """Yield the versions that are there still and hold evidence about the rows of *line*."""
    erased, tables = set(line.body["fingerprints"]), dict[tuple[Any, Any], set[str]]()
    for piece in evidence:
        report = _report_of(piece)
        found = [t for t, text in report.fingerprints.items() if text in erased] if report else []
        if found:
            tables.setdefault((piece.version, piece.version_created_ms), set()).update(found)
    policy, _ = find_policy(moment)
    standing = read_standing(
        moment.connection, moment.workspace, moment.model, *(version for version, _ in tables)
    )
    for (version, created_ms), names in sorted(tables.items()):
        row = standing.versions.get(version)
        if row and row.created_ms == created_ms:
            yield {
                "version": version,
                "stage": standing.stage_of(version, policy),
                "request": line.body["request"],
                "tables": sorted(names),
            }


def _report_of(piece: Entry) -> GateReport | None:
    """Return what a piece of evidence says; None when it was tampered with."""
    envelope = piece.body["envelope"]
    try:
        return read_statement(open_envelope(envelope, signer_of(envelope)))[0]
    except (SignatureError, StatementError):
        return None
