"""What a registry itself knows against evidence that comes from another one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlflow_ext.records import Attestation, Entry, Kind, Verdict
from mlflow_ext.registry.revocation import pair_revocations, said
from mlflow_ext.registry.rules import Policy
from mlflow_ext.registry.statement import Expected, attest_files, attest_imported

Judged = tuple[dict[str, Any], Attestation]
"""An envelope and what it says."""


def find_objections(
    arriving: Sequence[Judged], known: Sequence[Entry], expected: Expected, policy: Policy
) -> Iterator[str]:
    """Say why evidence from elsewhere must not be taken in.

    Args:
        arriving: The evidence.
        known: Every line of this ledger with evidence about the same files, whichever version it
            is about, and every revocation.
        expected: What evidence must be about to count for the version it is meant for.
        policy: Of the model; who is not trusted objects in vain.
    """
    payloads = {str(envelope["payload"]) for envelope, _ in arriving}
    evidence = [line for line in known if line.kind is Kind.EVIDENCE]
    for line in evidence:
        if said(line) in payloads and "imported" not in line.body:
            about = f"about version {line.version} of '{line.model}'"
            yield f"its evidence is that of line {line.seq} of this ledger, {about} and no other"
    withdrawn = {said(line): line.seq for _, line in pair_revocations(known) if line}
    for payload in payloads & withdrawn.keys():
        yield f"its evidence was revoked here, as line {withdrawn[payload]}"
    standing = [line for line in evidence if said(line) not in payloads | withdrawn.keys()]
    judged = [(line, _judge(line, expected, policy)) for line in standing]
    told = [attestation for _, attestation in [*arriving, *judged]]
    for line, attestation in judged:
        # What is known about the version itself, each decision weighs by the rules of the stage.
        if not _is_own(line, expected) and _is_unsettled(attestation, told):
            gate, number = attestation.gate, attestation.id
            yield f"gate '{gate}' failed here on the same files (evidence {number})"


def _judge(line: Entry, expected: Expected, policy: Policy) -> Attestation:
    judge = attest_imported if "imported" in line.body else attest_files
    return judge(line.body["envelope"], expected, policy, line.id)


def _is_own(line: Entry, expected: Expected) -> bool:
    version = (expected.model, expected.version, expected.version_created_ms)
    return (line.model, line.version, line.version_created_ms) == version


def _is_unsettled(one: Attestation, told: Sequence[Attestation]) -> bool:
    """Tell whether a gate failed and no newer pass of it outweighs that."""
    is_failed = one.verdict is Verdict.FAILED and not one.problem
    return is_failed and not any(
        other.gate == one.gate
        and other.verdict is Verdict.PASSED
        and not other.problem
        and other.created_ms > one.created_ms
        for other in told
    )
