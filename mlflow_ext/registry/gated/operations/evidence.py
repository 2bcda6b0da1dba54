"""Evidence: taking it in, showing it, withdrawing it, and carrying it to another registry."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import RefusedError, UnknownNameError
from mlflow_ext.records import Attestation, Entry, Kind
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.governance import (
    check_owner,
    expect,
    find_policy,
    read_attestations,
)
from mlflow_ext.registry.gated.operations._operation import (
    STRICT,
    AboutVersion,
    Document,
    Number,
    Operation,
    Operations,
    Reason,
    Right,
)
from mlflow_ext.registry.gated.standing import VersionRow
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.gated.visits import promoted_digest
from mlflow_ext.registry.revocation import point_at
from mlflow_ext.registry.signing import open_envelope, signer_of
from mlflow_ext.registry.statement import attest

Envelopes = Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=100)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Submission(AboutVersion):
    """Signed statements about a version."""

    envelopes: Envelopes


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AboutLine:
    """A line of the ledger."""

    id: Number


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Withdrawal(AboutLine):
    """A line of evidence that is not to count any more."""

    reason: Annotated[Reason, Field(min_length=1)]


def describe_version(store: GatedStore, asked: AboutVersion) -> Document:
    """Return what a statement about a version must bind, and with which files it was promoted."""
    digest = store.digest_of(asked.model, asked.version)
    with store.reading(asked.model) as moment:
        row = store.version_row(moment, asked.version)
        policy, _ = find_policy(moment)
        live_digest = promoted_digest(moment, row, policy)
    return {
        "model": asked.model,
        "version": asked.version,
        "created_ms": row.created_ms,
        "digest": digest,
        "workspace": store.workspace,
        "storage": row.storage,
        "live_digest": live_digest,
    }


def add(store: GatedStore, asked: Submission) -> Document:
    """Write signed statements into the ledger, if each is about exactly this version.

    Raises:
        RefusedError: A signature is broken, or a statement is about something else.
    """
    digest = store.digest_of(asked.model, asked.version)
    with store.holding(asked.model) as moment:
        row = store.version_row(moment, asked.version)
        policy, _ = find_policy(moment)
        expected = expect(moment, row, digest)
        judged = [(e, attest(e, expected, policy)) for e in asked.envelopes]
        for _, attestation in judged:
            check_counts(asked, attestation)
        return {"ids": [append_evidence(moment, row, *each).id for each in judged]}


def list_evidence(store: GatedStore, asked: AboutVersion) -> Document:
    """Return every piece of evidence about a version, and why some does not count."""
    found = read_evidence(store, asked)
    return {
        "model": asked.model,
        "version": asked.version,
        "attestations": [asdict(attestation) for attestation in found],
    }


def read_evidence(store: GatedStore, asked: AboutVersion) -> tuple[Attestation, ...]:
    """Return every piece of evidence about a version as its policy sees it now."""
    digest = store.digest_of(asked.model, asked.version)
    with store.reading(asked.model) as moment:
        row = store.version_row(moment, asked.version)
        policy, _ = find_policy(moment)
        case = ledger.read_case(moment.connection, moment.workspace, asked.model, asked.version)
        return read_attestations(moment, policy, row, digest, case.about)


def show(store: GatedStore, asked: AboutLine) -> Document:
    """Return one piece of evidence whole: the line, the statement and the signed envelope."""
    with store.reading() as moment:
        entry = _find(moment, asked.id)
    envelope = entry.body["envelope"]
    statement = open_envelope(envelope, signer_of(envelope))
    return {"entry": asdict(entry), "statement": statement, "envelope": envelope}


def revoke(store: GatedStore, asked: Withdrawal) -> Document:
    """Withdraw a piece of evidence: it stays in the ledger and counts no more.

    Raises:
        RefusedError: The policy has owners, and the caller is none of them: withdrawing what
            failed helps a version as much as a pass.
    """
    with store.reading() as moment:
        entry = _find(moment, asked.id)
    with store.holding(entry.model) as moment:
        check_owner(moment)
        body = {**point_at(entry), "reason": asked.reason}
        line = ledger.draft(moment, Kind.REVOCATION, body)
        about = replace(line, version=entry.version, version_created_ms=entry.version_created_ms)
        return {"entry": asdict(ledger.append(moment.connection, about))}


def check_counts(asked: AboutVersion, attestation: Attestation) -> None:
    """Let nothing into the ledger that would not count.

    Raises:
        RefusedError: The attestation has a problem.
    """
    if attestation.problem:
        raise RefusedError(
            f"evidence of gate '{attestation.gate or 'unknown'}' for version {asked.version} of "
            f"'{asked.model}': {attestation.problem}",
            "a statement about exactly this version, signed by a key that the policy trusts",
            f"mlflow-ext gate run {asked.model} {asked.version}",
        )


def append_evidence(
    moment: Moment,
    row: VersionRow,
    envelope: dict[str, Any],
    attestation: Attestation,
    **more: dict[str, Any],
) -> Entry:
    """Write one signed statement into the ledger; *more* says which line it came over with."""
    body = {
        "envelope": envelope,
        "report": {"gate": attestation.gate, "verdict": str(attestation.verdict)},
        "trust": str(attestation.trust),
        **more,
    }
    return ledger.append(moment.connection, ledger.draft(moment, Kind.EVIDENCE, body, row))


OPERATIONS: Operations = {
    "version": Operation(answer=describe_version, payload=AboutVersion, right=Right.READ),
    "evidence/add": Operation(answer=add, payload=Submission, right=Right.UPDATE, is_write=True),
    "evidence/list": Operation(answer=list_evidence, payload=AboutVersion, right=Right.READ),
    "evidence/show": Operation(answer=show, payload=AboutLine, right=Right.ADMIN),
    "evidence/revoke": Operation(
        answer=revoke, payload=Withdrawal, right=Right.ADMIN, is_write=True
    ),
}


def _find(moment: Moment, number: int) -> Entry:
    found = ledger.read(moment.connection, moment.workspace, kinds=[Kind.EVIDENCE], id=number)
    if not found:
        listed_by = "mlflow-ext evidence list MODEL VERSION"
        raise UnknownNameError("piece of evidence", str(number), [], "the ledger", listed_by)
    return found[0]
