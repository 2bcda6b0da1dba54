"""Evidence between registries: what one has seen, another verifies anew before it counts."""

from __future__ import annotations

from typing import Any

from pydantic.dataclasses import dataclass

from mlflow_ext.errors import RefusedError
from mlflow_ext.records import Kind
from mlflow_ext.registry.bundle import check_bundle, make_bundle
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.governance import expect, find_policy
from mlflow_ext.registry.gated.operations._operation import (
    STRICT,
    AboutVersion,
    Document,
    Operation,
    Operations,
    Right,
)
from mlflow_ext.registry.gated.operations.evidence import append_evidence, check_counts
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.rules import dump_policy
from mlflow_ext.registry.statement import attest_imported


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Arrival(AboutVersion):
    """A bundle from another registry, and the version here that has the same files."""

    bundle: dict[str, Any]


def export(store: GatedStore, asked: AboutVersion) -> Document:
    """Return policy, statements, ledger lines and digest of a version in one document."""
    digest = store.digest_of(asked.model, asked.version)
    with store.reading(asked.model) as moment:
        row = store.version_row(moment, asked.version)
        policy, _ = find_policy(moment)
        lines = ledger.read(moment.connection, moment.workspace, asked.model, version=asked.version)
    if not digest:
        raise RefusedError(
            f"the files of version {asked.version} of '{asked.model}' at {row.storage}",
            "files that can be read, since their digest binds the evidence elsewhere",
            f"mlflow-ext evidence list {asked.model} {asked.version}",
        )
    own = [line for line in lines if line.version_created_ms == row.created_ms]
    return make_bundle(own, dump_policy(policy), digest)


def take_in(store: GatedStore, asked: Arrival) -> Document:
    """Verify a bundle, and write its statements and its story into the ledger.

    Raises:
        RefusedError: Something in it does not hold, or the version here has other files.
    """
    _check(asked, check_bundle(asked.bundle))
    digest = store.digest_of(asked.model, asked.version)
    with store.holding(asked.model) as moment:
        row = store.version_row(moment, asked.version)
        policy, _ = find_policy(moment)
        expected = expect(moment, row, digest)
        envelopes = asked.bundle["envelopes"]
        judged = [(each, attest_imported(each, expected, policy)) for each in envelopes]
        for _, attestation in judged:
            check_counts(asked, attestation)
        _check_standing(moment, asked)
        story = ledger.draft(moment, Kind.IMPORT, {"bundle": asked.bundle}, row)
        line = ledger.append(moment.connection, story)
        written = [append_evidence(moment, row, *each, imported=line.id) for each in judged]
    return {"ids": [entry.id for entry in written]}


OPERATIONS: Operations = {
    "evidence/export": Operation(answer=export, payload=AboutVersion, right=Right.READ),
    "evidence/import": Operation(
        answer=take_in, payload=Arrival, right=Right.UPDATE, is_write=True
    ),
}


def _check_standing(moment: Moment, asked: Arrival) -> None:
    """Refuse what was revoked here since the bundle was made, about whichever version."""
    session, workspace = moment.connection, moment.workspace
    payloads = {envelope.get("payload") for envelope in asked.bundle["envelopes"]}
    for revocation in ledger.read(session, workspace, kinds=[Kind.REVOCATION]):
        number = revocation.body["entry"]
        for line in ledger.read(session, workspace, kinds=[Kind.EVIDENCE], id=number):
            if line.body["envelope"].get("payload") in payloads:
                _check(asked, [f"its evidence was revoked here, as line {line.seq}"])


def _check(asked: Arrival, problems: list[str]) -> None:
    if problems:
        raise RefusedError(
            f"the bundle for version {asked.version} of '{asked.model}': {'; '.join(problems)}",
            "a bundle as the other registry exported it",
            "mlflow-ext evidence export MODEL VERSION",
        )
