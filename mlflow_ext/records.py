"""The frozen values that flow between layers, and their JSON form.

Siblings never import each other; they meet here. A record holds plain values only, does nothing,
and survives a round trip: ``from_json(type(r), to_json(r)) == r``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

Json = None | bool | int | float | str | list[Any] | dict[str, Any]
RecordT = TypeVar("RecordT")


class Verdict(StrEnum):
    """What a gate says. Only ``PASSED`` counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


class Severity(StrEnum):
    """Whether a failed check stops what follows."""

    BLOCK = "block"
    WARN = "warn"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison inside a gate."""

    name: str
    """What was compared, e.g. ``roc_auc`` or ``expect_column_values_to_not_be_null(origin)``."""
    verdict: Verdict
    """Outcome of this comparison alone."""
    expected: str
    """The threshold or rule in words, e.g. ``>= 0.68``."""
    observed: Json = None
    """The measured value, in the unit of *name*."""
    interval: tuple[float, float] | None = None
    """Confidence interval of *observed* (low, high), where one was computed."""
    rows: int | None = None
    """Rows the value was computed from."""
    rows_needed: int | None = None
    """How many more rows would settle an inconclusive check, if what they show stays as it is."""
    slice: str | None = None
    """Subgroup, e.g. ``carrier=UA``; None means all rows."""
    severity: Severity = Severity.BLOCK
    """A ``WARN`` check is reported but never decides."""
    reason: str = ""
    """Why there is no verdict, what is missing, or why the rule exists."""
    example: dict[str, Any] | None = None
    """One row that breaks the rule."""


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """What one gate says about one subject."""

    gate: str
    """Name of the gate: its module in ``mlflow_ext/gates``."""
    subject: str
    """What was judged: ``models:/NAME/VERSION`` or ``table:NAME``."""
    checks: tuple[Check, ...]
    """Every comparison made, in order."""
    fingerprints: dict[str, str]
    """Table name -> content fingerprint of the rows that were judged."""
    config_digest: str
    """SHA-256 of the gate's configuration, hex."""
    created_ms: int
    """When, in milliseconds since the epoch."""

    @property
    def verdict(self) -> Verdict:
        """The blocking checks taken together."""
        return combine([c.verdict for c in self.checks if c.severity is Severity.BLOCK])

    @property
    def reasons(self) -> tuple[str, ...]:
        """One line for each blocking check that did not pass."""
        return self._unpassed(Severity.BLOCK)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each check that did not pass and does not decide."""
        return self._unpassed(Severity.WARN)

    def _unpassed(self, severity: Severity) -> tuple[str, ...]:
        return tuple(
            describe(check)
            for check in self.checks
            if check.severity is severity and check.verdict is not Verdict.PASSED
        )


@dataclass(frozen=True, kw_only=True)
class ColumnFingerprint:
    """Identity of one column: its name, its logical type and its values."""

    name: str
    dtype: str
    digest: str
    """SHA-256, 64 hex digits; empty where rows are hashed whole because their order is free."""


@dataclass(frozen=True, kw_only=True)
class TableFingerprint:
    """Identity of a table's content, whatever file layout holds it."""

    digest: str
    """SHA-256 over all columns and the row count, 64 hex digits."""
    rows: int
    ordered: bool
    """True: the order of rows is part of the identity."""
    columns: tuple[ColumnFingerprint, ...]


@dataclass(frozen=True, kw_only=True)
class TableVersion:
    """A written table: where it lies and what exactly it is."""

    name: str
    run_id: str
    """The MLflow run that wrote it."""
    path: str
    """Artifact path inside that run."""
    fingerprint: TableFingerprint


class Trust(StrEnum):
    """Who stands behind a piece of evidence, weakest first."""

    CLAIMED = "claimed"
    """Somebody says so; nothing proves who."""
    ATTESTED = "attested"
    """Signed by a key that the policy trusts."""
    RECOMPUTED = "recomputed"
    """The registry's own server ran the gate and signed what came out."""

    def reaches(self, needed: Trust) -> bool:
        """Tell whether this level is *needed* or a stronger one.

        >>> Trust.RECOMPUTED.reaches(Trust.ATTESTED)
        True
        """
        order = list(Trust)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """One gate report about one version as a policy sees it: what it says, whether it counts."""

    id: int
    """Number of its line in the ledger; 0 outside a ledger."""
    gate: str
    verdict: Verdict
    trust: Trust
    config_digest: str
    """SHA-256 of the gate's configuration, hex."""
    created_ms: int
    """When the gate judged, in milliseconds since the epoch."""
    reasons: tuple[str, ...] = ()
    """One line for each check that did not pass."""
    observed: dict[str, float] | None = None
    """Check -> measured number, where it measured one."""
    signer: str = ""
    """Id of the key that signed; empty when nothing did."""
    problem: str = ""
    """Why it does not count, e.g. ``the model's files have changed``; empty when it counts."""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """Somebody approves or rejects one version for one stage."""

    id: int
    """Number of its line in the ledger."""
    actor: str
    is_approval: bool
    to_stage: str
    time_ms: int
    """When, in milliseconds since the epoch."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One rule a policy applied before a transition: what it asks for and what was found."""

    name: str
    """The gate or condition, e.g. ``gate champion``."""
    found: str
    """What there is: a verdict, ``no report``, …"""
    fix: str = ""
    """The command that would meet it; empty when it is met."""
    is_met: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the policy says about one requested transition, and every rule it applied."""

    model: str
    version: int
    to_stage: str
    requirements: tuple[Requirement, ...]
    """Every rule that was applied, in the order of the policy."""

    @property
    def unmet(self) -> tuple[Requirement, ...]:
        """Everything that stands in the way."""
        return tuple(needed for needed in self.requirements if not needed.is_met)

    @property
    def is_allowed(self) -> bool:
        """True when nothing stands in the way."""
        return not self.unmet


class Action(StrEnum):
    """Why a version changed its stage, or did not."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    ARCHIVE = "archive"
    MOVE = "move"
    """To a stage for which the policy has no rule."""
    FORCE = "force"
    """Against the policy, by somebody whom the policy lets do that."""
    REFUSE = "refuse"
    """Asked for and not done."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One change of stage: who, when, why, and on what evidence."""

    model: str
    version: int
    action: Action
    from_stage: str
    to_stage: str
    actor: str
    reason: str
    time_ms: int
    """When, in milliseconds since the epoch."""
    replaced: int | None = None
    """The version that held *to_stage* before, if any."""
    gates: dict[str, str] | None = None
    """Gate name -> verdict at that moment."""
    is_claimed: bool = True
    """False when the registry has authenticated the actor."""
    client: str = ""
    """The program that asked, as it named itself."""


class Kind(StrEnum):
    """What a line of the ledger tells."""

    EVIDENCE = "evidence"
    REQUEST = "request"
    APPROVAL = "approval"
    REJECTION = "rejection"
    POLICY = "policy"
    TRANSITION = "transition"
    """A change of stage: promotion, rollback, archive or force."""
    REFUSAL = "refusal"
    REVOCATION = "revocation"
    """A piece of evidence is withdrawn."""
    IMPORT = "import"
    """The evidence and the history of a version came over from another registry."""
    REGISTRATION = "registration"
    """A version was created."""
    DELETION = "deletion"
    RENAME = "rename"
    ATTEMPT = "attempt"
    """A challenger was compared with a champion on a holdout."""
    ERASURE = "erasure"
    """Rows about a person were erased from data that versions of the model were made from."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the ledger; lines are only ever appended."""

    id: int
    """Number of the line in the whole database."""
    workspace: str
    seq: int
    """Number of the line in its workspace, from 1, without gaps."""
    kind: Kind
    model: str
    version: int | None
    version_created_ms: int | None
    """When the version's row was created: a version that is deleted and made again is another."""
    stage: str | None
    """The stage the line is about, if any."""
    time_ms: int
    """When, in milliseconds since the epoch."""
    actor: str
    is_claimed: bool
    """False when the registry has authenticated the actor."""
    client: str
    """The program that asked, as it named itself."""
    body: dict[str, Any]
    """What the kind of line tells, as JSON values."""
    previous: str
    """Hash of the line before it in the workspace; empty for the first."""
    hash: str
    """SHA-256 over everything above but *id*, hex."""


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Take several verdicts as one: the worst wins; nothing judged is inconclusive.

    >>> combine([Verdict.PASSED, Verdict.SKIPPED])
    <Verdict.SKIPPED: 'skipped'>
    >>> combine([])
    <Verdict.INCONCLUSIVE: 'inconclusive'>
    """
    for worst in (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.SKIPPED):
        if worst in verdicts:
            return worst
    return Verdict.PASSED if verdicts else Verdict.INCONCLUSIVE


def describe(check: Check) -> str:
    """Say one check in one line: what, observed against expected, why, and a row that breaks it."""
    where = f" [{check.slice}]" if check.slice else ""
    why = f" ({check.reason})" if check.reason else ""
    example = f"; for example {_row(check.example)}" if check.example else ""
    return f"{check.name}{where} {check.verdict}: {measure(check)}{why}{example}"


def measure(check: Check) -> str:
    """Say what was observed, with its interval, and what was expected.

    >>> measure(Check(name="f1", verdict=Verdict.PASSED, observed=0.5, expected=">= 0.4"))
    'observed 0.5, expected >= 0.4'
    """
    interval = " [{:.3g}, {:.3g}]".format(*check.interval) if check.interval else ""
    return f"observed {_shown(check.observed)}{interval}, expected {check.expected}"


def _row(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _shown(value: Json) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def to_dict(record: Any) -> dict[str, Any]:
    """Return *record* as JSON values, derived properties such as ``verdict`` included."""
    values = asdict(record)
    if isinstance(record, GateReport):
        values["verdict"] = str(record.verdict)
    if isinstance(record, Decision):
        values["is_allowed"] = record.is_allowed
    return values


def to_json(record: Any) -> str:
    """Write *record* as JSON; keys are sorted, so that equal records are equal text."""
    import json

    return json.dumps(to_dict(record), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(kind: type[RecordT], text: str) -> RecordT:
    """Read a record of *kind* back from `to_json`.

    Raises:
        pydantic.ValidationError: The text is not such a record.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_json(text)
