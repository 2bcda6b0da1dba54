"""What evidence says, and whether it counts: a gate report bound to one version of one model.

Pure: no clock, no network, no MLflow. The statement is an in-toto Statement v1, so that tools which
know nothing of this suite can still tell which files it is about.

Source: in-toto Attestation Framework 1.0, https://github.com/in-toto/attestation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from dataclasses import dataclass as record
from functools import cache, lru_cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import SignatureError, StatementError
from mlflow_ext.records import Attestation, GateReport, Trust, Verdict
from mlflow_ext.registry.chain import canonical
from mlflow_ext.registry.rules import STRICT, Policy, TrustedKey
from mlflow_ext.registry.signing import key_id, open_envelope, signer_of
from mlflow_ext.registry.terms import Digest, Text, moment_ms

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:mlflow-ext:gate-report:v1"
LARGEST = 1e300
"""Any number that is measured is smaller, and survives JSON."""
CLOCK_SKEW_MS = 300_000
"""How far the clock of who judged may run ahead of the registry's."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Binding:
    """Exactly what was judged, by whom and where."""

    workspace: str
    model: Text
    version: Annotated[int, Field(ge=1)]
    version_created_ms: int
    """When the version's row was created: a version that is deleted and made again is another."""
    model_digest: Digest
    """As `mlflow_ext.registry.digest.digest_files` of the files that were judged."""
    environment_digest: str = ""
    """SHA-256 of the environment in which the gate ran, hex; empty when it is not known."""
    actor: str
    """Who judged, by the own account."""
    trust: Trust
    """What the signer stands for; only the registry's own key can say *recomputed*."""


@record(frozen=True, kw_only=True)
class Expected:
    """What evidence must be about to count for a version as it is now."""

    workspace: str
    model: str
    version: int
    version_created_ms: int
    model_digest: str
    """Digest of the version's files as they are now; empty when they cannot be read."""
    server_key_id: str
    """The registry's own key; empty when it has none."""
    now_ms: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Predicate:
    binding: Binding
    report: GateReport
    verdict: Verdict
    """What the report comes to, for tools that cannot combine its checks."""


def make_statement(report: GateReport, binding: Binding) -> dict[str, Any]:
    """Say *report* about the version of *binding*, as JSON values to be signed.

    Raises:
        StatementError: The report is about something else.
    """
    _check_subject(report, binding)
    return {
        "_type": STATEMENT_TYPE,
        "subject": _subject(binding),
        "predicateType": PREDICATE_TYPE,
        "predicate": asdict(_Predicate(binding=binding, report=report, verdict=report.verdict)),
    }


def read_statement(statement: dict[str, Any]) -> tuple[GateReport, Binding]:
    """Read a statement back, strictly.

    Raises:
        StatementError: It is of another type, a field is missing, unknown or wrong, or its parts
            contradict each other.
    """
    _check_equal("_type", statement.get("_type"), STATEMENT_TYPE)
    _check_equal("predicateType", statement.get("predicateType"), PREDICATE_TYPE)
    predicate = _parse(statement.get("predicate"))
    binding, report = predicate.binding, predicate.report
    _check_equal("subject", statement.get("subject"), _subject(binding))
    _check_subject(report, binding)
    if report.created_ms < 0:
        raise StatementError(f"'created_ms' of the report is {report.created_ms}", "a time")
    for number in (report.created_ms, *(check.observed for check in report.checks)):
        _check_number(number)
    _check_equal("predicate.verdict", str(predicate.verdict), str(report.verdict))
    return report, binding


def attest(
    envelope: dict[str, Any], expected: Expected, policy: Policy, number: int = 0
) -> Attestation:
    """Judge one piece of evidence; whatever is wrong with it becomes its *problem*.

    Args:
        envelope: A signed statement from anywhere.
        expected: What it must be about.
        policy: Whose keys count.
        number: Of its line in the ledger.

    Returns:
        What it says. It is *recomputed* only under the registry's own key, *attested* under a key
        that the policy trusts.
    """
    try:
        signer, report, binding = _read_sealed(canonical(envelope))
    except (SignatureError, StatementError) as error:
        return _unreadable(number, error.found)
    trust = _trust(binding, signer, expected, policy)
    problems = [
        *_contradictions(binding, expected),
        *doubt_key(signer, policy, expected.now_ms, is_own=trust is Trust.RECOMPUTED),
    ]
    if report.created_ms > expected.now_ms + CLOCK_SKEW_MS:
        problems.append("it is dated in the future")
    return Attestation(
        id=number,
        gate=report.gate,
        verdict=report.verdict,
        trust=trust,
        config_digest=report.config_digest,
        created_ms=report.created_ms,
        reasons=report.reasons,
        observed=_observed(report),
        signer=key_id(signer),
        problem="; ".join(problems),
    )


@lru_cache(maxsize=4096)
def _read_sealed(envelope: str) -> tuple[str, GateReport, Binding]:
    """Verify and read an envelope, as canonical JSON, once: what it says never changes."""
    sealed = json.loads(envelope)
    signer = signer_of(sealed)
    return signer, *read_statement(open_envelope(sealed, signer))


def attest_imported(
    envelope: dict[str, Any], expected: Expected, policy: Policy, number: int = 0
) -> Attestation:
    """Judge evidence of another registry: the digest of the files binds it to a version here.

    Args:
        envelope: A signed statement; it names model and version as they are called there.
        expected: What it must be about here.
        policy: Whose keys count.
        number: Of its line in the ledger.

    Returns:
        As `attest_files`, but nothing is *recomputed*: this registry's server ran no gate on this
        version.
    """
    return attest_files(envelope, replace(expected, server_key_id=""), policy, number)


def attest_files(
    envelope: dict[str, Any], expected: Expected, policy: Policy, number: int = 0
) -> Attestation:
    """Judge evidence about the same files, as `attest` does, whichever version it names."""
    try:
        _, there = read_statement(open_envelope(envelope, signer_of(envelope)))
    except (SignatureError, StatementError) as error:
        return _unreadable(number, error.found)
    adopted = replace(
        expected,
        workspace=there.workspace,
        model=there.model,
        version=there.version,
        version_created_ms=there.version_created_ms,
    )
    return attest(envelope, adopted, policy, number)


def doubt_key(signer: str, policy: Policy, now_ms: int, *, is_own: bool = False) -> Iterator[str]:
    """Say why a key does not count; nothing when it does.

    Args:
        signer: Public key, in base64.
        policy: Whose keys count; without a list every key does.
        now_ms: The moment, in milliseconds since the epoch.
        is_own: The registry signed with its own key, which needs no listing.
    """
    listed = _listed(signer, policy)
    if policy.keys is not None and not (listed or is_own):
        yield f"the policy does not trust key {key_id(signer)[:12]}…"
    for key in listed:
        if _is_past(key.revoked, now_ms):
            yield f"its key was revoked on {key.revoked}"
        if _is_past(key.expires, now_ms):
            yield f"its key expired on {key.expires}"


def _unreadable(number: int, problem: str) -> Attestation:
    return Attestation(
        id=number,
        gate="",
        verdict=Verdict.INCONCLUSIVE,
        trust=Trust.CLAIMED,
        config_digest="",
        created_ms=0,
        problem=problem,
    )


def _trust(binding: Binding, signer: str, expected: Expected, policy: Policy) -> Trust:
    if binding.trust is Trust.RECOMPUTED and key_id(signer) == expected.server_key_id:
        return Trust.RECOMPUTED
    return Trust.ATTESTED if policy.keys is None or _listed(signer, policy) else Trust.CLAIMED


def _contradictions(binding: Binding, expected: Expected) -> Iterator[str]:
    if binding.workspace != expected.workspace:
        yield f"it is about workspace '{binding.workspace}'"
    if binding.model != expected.model:
        yield f"it is about model '{binding.model}'"
    if binding.version != expected.version:
        yield f"it is about version {binding.version}"
    elif binding.version_created_ms != expected.version_created_ms:
        yield f"it is about another version {binding.version}, made at another time"
    if not expected.model_digest:
        yield "the model's files cannot be read"
    elif binding.model_digest != expected.model_digest:
        yield "the model's files have changed"


def _listed(signer: str, policy: Policy) -> list[TrustedKey]:
    return [key for key in policy.keys or () if key.public_key == signer]


def _is_past(moment: str | None, now_ms: int) -> bool:
    return moment is not None and moment_ms(moment) <= now_ms


def _observed(report: GateReport) -> dict[str, float] | None:
    """Return each measured number; of several under one name the lowest, for a minimum to hold."""
    numbers: dict[str, float] = {}
    for check in report.checks:
        name = f"{check.name} [{check.slice}]" if check.slice else check.name
        if isinstance(check.observed, int | float) and not isinstance(check.observed, bool):
            numbers[name] = min(check.observed, numbers.get(name, check.observed))
    return numbers or None


def _subject(binding: Binding) -> list[dict[str, Any]]:
    return [{"name": _uri(binding), "digest": {"sha256": binding.model_digest}}]


def _uri(binding: Binding) -> str:
    return f"models:/{binding.model}/{binding.version}"


def _check_subject(report: GateReport, binding: Binding) -> None:
    _check_equal("predicate.report.subject", report.subject, _uri(binding))


def _check_number(value: Any) -> None:
    """Refuse a number that is written and read back as no number, or as none that decides."""
    if isinstance(value, int | float) and not abs(value) <= LARGEST:
        raise StatementError("a number of the statement is too large", f"at most {LARGEST:g}")


def _check_equal(name: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise StatementError(f"'{name}' of the statement is {found!r}", repr(expected))


@cache
def _adapter() -> TypeAdapter[_Predicate]:
    return TypeAdapter(_Predicate)


def _parse(predicate: Any) -> _Predicate:
    try:
        return _adapter().validate_python(predicate)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("predicate", *first["loc"])))
        raise StatementError(
            f"'{where}' of the statement: {first['msg']}", PREDICATE_TYPE
        ) from None
