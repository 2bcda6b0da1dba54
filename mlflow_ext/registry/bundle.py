"""The evidence of one version in one document, to be verified anew by another registry.

Pure. What makes evidence count elsewhere is the signature on each statement and the digest of the
files: see `mlflow_ext.registry.statement.attest_imported`. That nothing was left out, and the story
that the ledger lines tell, rest on the seal: the registry that exports signs the bundle as a whole,
by an in-toto statement about its digest. They are as trustworthy as that signer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import PolicyError, SignatureError, StatementError
from mlflow_ext.records import Entry, Kind, to_dict
from mlflow_ext.registry.chain import canonical, entry_hash
from mlflow_ext.registry.revocation import pair_revocations, said
from mlflow_ext.registry.rules import STRICT, parse_policy
from mlflow_ext.registry.signing import SigningKey, open_envelope, seal, signer_of
from mlflow_ext.registry.statement import STATEMENT_TYPE, read_statement
from mlflow_ext.registry.terms import Digest

BUNDLE_TYPE = "urn:mlflow-ext:bundle:v1"
SEAL = "seal"
"""Key of a bundle: the envelope with the signature of whoever exported it."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Bundle:
    format: Literal["mlflow-ext-bundle/1"] = "mlflow-ext-bundle/1"
    model_digest: Digest
    policy: dict[str, Any]
    envelopes: tuple[dict[str, Any], ...]
    entries: tuple[Entry, ...]
    seal: dict[str, Any] | None = None


def make_bundle(entries: Sequence[Entry], policy: dict[str, Any], digest: str) -> dict[str, Any]:
    """Put the evidence of one version together, as JSON values.

    Args:
        entries: The ledger's lines about the version, in their order; gaps may lie between them.
        policy: What governs the version, as `mlflow_ext.registry.rules.dump_policy`.
        digest: Of the version's files, SHA-256 hex.

    Returns:
        A bundle to be sealed. Its envelopes are the evidence about these very files that was not
        withdrawn.
    """
    about = [envelope for envelope in _standing(entries).values() if not _flaw(envelope, digest)]
    bundle = _Bundle(
        model_digest=digest, policy=policy, envelopes=tuple(about), entries=tuple(entries)
    )
    return to_dict(bundle)


def seal_bundle(bundle: dict[str, Any], key: SigningKey) -> dict[str, Any]:
    """Sign a bundle as a whole; returns it with the new seal."""
    return {**bundle, SEAL: seal(key, _seal_statement(bundle))}


def check_bundle(bundle: Any) -> list[str]:
    """Verify whatever a bundle can prove by itself.

    Args:
        bundle: JSON values from anywhere.

    Returns:
        One line for each thing that is wrong; nothing when it holds.
    """
    try:
        parsed = _adapter().validate_python(bundle)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "bundle"
        return [f"'{where}' of the bundle: {first['msg']}"]
    return [
        *_seal_problems(bundle),
        *_policy_problems(parsed.policy),
        *_chain_problems(parsed.entries),
        *_evidence_problems(parsed),
    ]


@cache
def _adapter() -> TypeAdapter[_Bundle]:
    return TypeAdapter(_Bundle)


def _seal_statement(bundle: dict[str, Any]) -> dict[str, Any]:
    """Say which bundle it is, whatever its seal."""
    sealed = canonical({key: value for key, value in bundle.items() if key != SEAL})
    digest = hashlib.sha256(sealed.encode()).hexdigest()
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "bundle", "digest": {"sha256": digest}}],
        "predicateType": BUNDLE_TYPE,
        "predicate": {},
    }


def _seal_problems(bundle: dict[str, Any]) -> Iterator[str]:
    envelope = bundle.get(SEAL)
    if envelope is None:
        yield "it is not signed"
        return
    try:
        statement = open_envelope(envelope, signer_of(envelope))
    except SignatureError as error:
        yield f"its seal: {error.found}"
        return
    if statement != _seal_statement(bundle):
        yield "it was changed after it was signed"


def _policy_problems(policy: dict[str, Any]) -> Iterator[str]:
    try:
        parse_policy(policy)
    except PolicyError as error:
        yield f"its policy cannot be read: {error.found}"


def _chain_problems(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry_hash(entry) != entry.hash:
            yield f"line {entry.seq} was edited"
    for before, entry in pairwise(entries):
        if entry.workspace != before.workspace:
            yield f"line {entry.seq} is of another workspace"
        elif entry.seq <= before.seq:
            yield f"line {entry.seq} is out of order"
        elif entry.seq == before.seq + 1 and entry.previous != before.hash:
            yield f"line {entry.seq} does not continue the line before it"


def _evidence_problems(bundle: _Bundle) -> Iterator[str]:
    if not bundle.envelopes:
        yield "it holds no evidence about these files"
    standing = _standing(bundle.entries)
    for number, envelope in enumerate(bundle.envelopes, 1):
        if envelope not in standing.values():
            yield f"envelope {number} is not that of a line, or was withdrawn"
        if flaw := _flaw(envelope, bundle.model_digest):
            yield f"envelope {number}: {flaw}"
    for seq, envelope in standing.items():
        if envelope not in bundle.envelopes and not _flaw(envelope, bundle.model_digest):
            yield f"the evidence of line {seq} was left out"
    for revocation, line in pair_revocations(bundle.entries):
        if line is None:
            yield f"what line {revocation.seq} withdraws was left out"


def _standing(entries: Sequence[Entry]) -> dict[int, Any]:
    """Return line -> envelope for the evidence that no later line withdraws."""
    withdrawn = {said(line) for _, line in pair_revocations(entries) if line}
    return {
        entry.seq: entry.body.get("envelope")
        for entry in entries
        if entry.kind is Kind.EVIDENCE and said(entry) not in withdrawn
    }


def _flaw(envelope: Any, digest: str) -> str:
    """Say why *envelope* is no signed statement about files with *digest*; empty when it is."""
    try:
        _, binding = read_statement(open_envelope(envelope, signer_of(envelope)))
    except (SignatureError, StatementError) as error:
        return error.found
    return "" if binding.model_digest == digest else "it is about other files"
