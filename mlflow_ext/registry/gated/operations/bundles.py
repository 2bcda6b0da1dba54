"""Evidence between registries: what one has seen, another verifies anew before it counts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from shlex import quote
from typing import Any

from pydantic.dataclasses import dataclass

from mlflow_ext.errors import RefusedError
from mlflow_ext.records import Entry, Kind
from mlflow_ext.registry.bundle import SEAL, check_bundle, make_bundle, seal_bundle
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
from mlflow_ext.registry.objections import Judged, find_objections
from mlflow_ext.registry.policy import RUN_GATES
from mlflow_ext.registry.revocation import point_at, said
from mlflow_ext.registry.rules import Policy, dump_policy
from mlflow_ext.registry.signing import key_id, load_key, signer_of
from mlflow_ext.registry.statement import Expected, attest_imported, doubt_key

EXPORT = "mlflow-ext evidence export MODEL VERSION"
SHOW_KEY = "mlflow-ext evidence key, on the server that exported it; list that under 'keys' here"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Arrival(AboutVersion):
    """A bundle from another registry, and the version here that has the same files."""

    bundle: dict[str, Any]


def export(store: GatedStore, asked: AboutVersion) -> Document:
    """Return policy, statements, ledger lines and digest of a version in one signed document."""
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
    return seal_bundle(make_bundle(own, dump_policy(policy), digest), load_key())


def take_in(store: GatedStore, asked: Arrival) -> Document:
    """Verify a bundle, and write its statements and its story into the ledger.

    Raises:
        RefusedError: Something in it does not hold, the policy does not trust who signed it, the
            version here has other files, or what is known here speaks against it.
    """
    _refuse(asked, check_bundle(asked.bundle), "a bundle as the other registry signed it", EXPORT)
    digest = store.digest_of(asked.model, asked.version)
    with store.reading(asked.model) as moment:  # nobody waits while the ledger is looked through
        known = _read_known(moment, asked.bundle["model_digest"])
    with store.holding(asked.model) as moment:
        row = store.version_row(moment, asked.version)
        policy, _ = find_policy(moment)
        judged = _judge(asked, known, expect(moment, row, digest), policy)
        story = ledger.draft(moment, Kind.IMPORT, {"bundle": asked.bundle}, row)
        line = ledger.append(moment.connection, story)
        written = [append_evidence(moment, row, *each, imported=point_at(line)) for each in judged]
    return {"ids": [entry.id for entry in written]}


OPERATIONS: Operations = {
    "evidence/export": Operation(answer=export, payload=AboutVersion, right=Right.READ),
    "evidence/import": Operation(
        answer=take_in, payload=Arrival, right=Right.UPDATE, is_write=True
    ),
}


def _read_known(moment: Moment, digest: str) -> list[Entry]:
    """Return this ledger's evidence about files with *digest*, and every revocation.

    Raises:
        LedgerError: One of these lines was edited.
    """
    kinds = (Kind.EVIDENCE, Kind.REVOCATION)
    return [
        ledger.intact(line)
        for line in ledger.scan(moment.connection, moment.workspace, kinds=kinds)
        if line.kind is Kind.REVOCATION or _names(line, digest)
    ]


def _names(line: Entry, digest: str) -> bool:
    """Look for a digest past the signature: where that was edited, it must not be overlooked."""
    try:
        return digest.encode() in base64.b64decode(said(line))
    except ValueError:
        return False


def _judge(
    asked: Arrival, known: Sequence[Entry], expected: Expected, policy: Policy
) -> list[Judged]:
    """Return the evidence of a bundle and what it says here, if nothing speaks against it."""
    signer = signer_of(asked.bundle[SEAL])
    is_own = key_id(signer) == expected.server_key_id
    doubts = [*doubt_key(signer, policy, expected.now_ms, is_own=is_own)]
    signed = [f"it is signed, but {doubt}" for doubt in doubts]
    _refuse(asked, signed, "a bundle under a key that the policy trusts", SHOW_KEY)
    envelopes = asked.bundle["envelopes"]
    judged = [(each, attest_imported(each, expected, policy)) for each in envelopes]
    for _, attestation in judged:
        check_counts(asked, attestation)
    objections = [*find_objections(judged, known, expected, policy)]
    fix = RUN_GATES.format(model=quote(asked.model), version=asked.version)
    _refuse(asked, objections, "evidence that nothing known here speaks against", fix)
    return judged


def _refuse(asked: Arrival, problems: Sequence[str], expected: str, fix: str) -> None:
    """Refuse a bundle that has *problems*; without any, do nothing."""
    if problems:
        found = f"the bundle for version {asked.version} of '{asked.model}': {'; '.join(problems)}"
        raise RefusedError(found, expected, fix)
