"""The promotion policy of a registered model as its team writes it down, in YAML.

Nothing here decides: `mlflow_ext.registry.policy` does. With no policy set, `EVIDENCE` governs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import PolicyError, nearest, one_of
from mlflow_ext.project import Promotion
from mlflow_ext.records import Trust
from mlflow_ext.registry.terms import (
    STAGES,
    Alias,
    Cron,
    Digest,
    Duration,
    Moment,
    Number,
    PublicKey,
    Stage,
    StageName,
    Text,
    Timezone,
    canonical_stage,
    milliseconds,
    moment_ms,
)
from mlflow_ext.settings import ContradictionError, find_mistake, read_settings, validate

__all__ = [
    "BUILT_IN",
    "EVIDENCE",
    "OPEN",
    "STAGES",
    "ApprovalRule",
    "ForceRule",
    "FreezeWindow",
    "GateRule",
    "Policy",
    "StagePolicy",
    "TrustedKey",
    "canonical_stage",
    "dump_policy",
    "members",
    "milliseconds",
    "moment_ms",
    "parse_policy",
    "policy_digest",
    "policy_of",
    "read_policy",
    "stage_policy",
    "weaknesses",
]

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GateRule:
    """One gate that must have passed."""

    gate: Text
    trust: Trust = Trust.CLAIMED
    """The weakest level that counts."""
    max_age: Duration | None = None
    config_digest: Digest | None = None
    """The report must come from exactly this configuration, SHA-256 hex."""
    minimum: dict[str, Number] = Field(default_factory=dict)
    """Check -> the number its observed value must reach at least."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ApprovalRule:
    """How many people must have said yes."""

    count: Annotated[int, Field(ge=1)] = 1
    groups: tuple[Text, ...] = ()
    """Only members of these groups count; empty: everybody does."""
    allow_author: bool = False
    """False: whoever registered, requested or judged the version does not count (two persons)."""
    max_age: Duration | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FreezeWindow:
    """A time in which nothing moves to the stage."""

    starts: Cron
    """Cron expression of the beginning, five fields."""
    lasts: Duration
    timezone: Timezone = "UTC"
    """IANA name."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForceRule:
    """Who may move a version against the policy."""

    groups: tuple[Text, ...] = ()
    """Members of these groups; empty: nobody."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StagePolicy:
    """What entering one stage asks for."""

    alias: Alias | None = None
    """The alias that moves with the stage; a stage that is not MLflow's own needs one."""
    comes_from: tuple[Stage, ...] = ()
    """Stages a version may come from; empty: any."""
    is_exclusive: bool = True
    """True: the version that held the stage is archived (its alias moves on in any case)."""
    gates: tuple[GateRule, ...] = ()
    min_passed: Annotated[int, Field(ge=0)] = 0
    """How many gates, whichever, must have passed."""
    trust: Trust = Trust.CLAIMED
    """The weakest level that counts for *min_passed*."""
    approvals: ApprovalRule | None = None
    min_time: Duration | None = None
    """How long the version must have been in the stage it comes from."""
    freeze: tuple[FreezeWindow, ...] = ()
    force: ForceRule = Field(default_factory=ForceRule)

    @property
    def is_protected(self) -> bool:
        """True when the stage asks for something: what holds it cannot be deleted or renamed."""
        return bool(self.gates or self.min_passed or self.approvals or self.min_time or self.freeze)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrustedKey:
    """A key whose signature makes evidence *attested*."""

    public_key: PublicKey
    """Ed25519, the 32 raw bytes in base64, as ``mlflow-ext evidence key`` prints it."""
    owner: str = ""
    expires: Moment | None = None
    """ISO date or time; from then on its evidence does not count."""
    revoked: Moment | None = None
    """ISO date or time; its evidence does not count, whenever it was made."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Policy:
    """The promotion policy of a registered model."""

    name: Text
    stages: dict[StageName, StagePolicy] = Field(default_factory=dict)
    """The governed stages; a stage without an entry is free."""
    groups: dict[Text, tuple[Text, ...]] = Field(default_factory=dict)
    """Group -> its members, by the name the server knows them under."""
    keys: tuple[TrustedKey, ...] | None = None
    """None: any valid signature attests (integrity, not identity). Listed: only these."""
    owners: tuple[Text, ...] = ()
    """Groups that may replace this policy; empty: whoever may manage the model."""

    @field_validator("stages")
    @classmethod
    def _spelled_once(cls, stages: dict[str, StagePolicy]) -> dict[str, StagePolicy]:
        """Spell MLflow's stages as MLflow does, so that each is found by its name."""
        spelled: dict[str, str] = {}
        for name in stages:
            other = spelled.setdefault(canonical_stage(name), name)
            if other != name:
                raise ContradictionError(f"each stage once, and '{other}' is the same", name)
        return {stage: stages[name] for stage, name in spelled.items()}

    @model_validator(mode="after")
    def _fits_together(self) -> Policy:
        for error in _contradictions(self):
            raise error
        return self

    @cached_property
    def custom_stages(self) -> dict[str, StagePolicy]:
        """Stage -> rule, for the stages that MLflow does not have."""
        return {name: rule for name, rule in self.stages.items() if name not in STAGES}

    def stage_of_alias(self, alias: str) -> str | None:
        """Return the stage that *alias* (in any case) moves with, or None when it is free."""
        named = alias.lower()
        return next((s for s, r in self.stages.items() if (r.alias or "").lower() == named), None)


def _contradictions(policy: Policy) -> Iterator[ContradictionError]:
    known = {*STAGES, *policy.stages}
    owner: dict[str, str] = {}
    for name, stage in policy.stages.items():
        at = ("stages", name)
        if stage.alias is None and name not in STAGES:
            yield ContradictionError("an 'alias:', which a stage that MLflow lacks lives as", *at)
        other = owner.setdefault(stage.alias.lower(), name) if stage.alias else name
        if other != name:
            message = f"an alias of its own; two stages share one alias: '{other}' and '{name}'"
            yield ContradictionError(message, *at, "alias")
        yield from _strangers("stage", stage.comes_from, known, *at, "comes_from")
        approvers = stage.approvals.groups if stage.approvals else ()
        yield from _strangers("group", approvers, policy.groups, *at, "approvals", "groups")
        yield from _strangers("group", stage.force.groups, policy.groups, *at, "force", "groups")
    yield from _strangers("group", policy.owners, policy.groups, "owners")


def _strangers(
    kind: str, names: Collection[str], known: Collection[str], *at: str
) -> Iterator[ContradictionError]:
    for name in set(names) - set(known):
        guess = nearest(name, known)
        hint = f"; did you mean '{guess}'?" if guess else ""
        yield ContradictionError(f"{one_of(known)}, but not the {kind} '{name}'{hint}", *at)


OPEN = Policy(name="open")
"""Governs nothing: plain MLflow."""
EVIDENCE = Policy(
    name="evidence",
    stages={
        "Production": StagePolicy(alias="champion", min_passed=1),
        "Staging": StagePolicy(alias="challenger"),
    },
)
"""The default: Production and ``@champion`` need a passed gate and no failed one."""
BUILT_IN = {policy.name: policy for policy in (OPEN, EVIDENCE)}


def read_policy(file: Path) -> Policy:
    """Read a policy from a YAML file.

    Raises:
        ProjectFileError: The file cannot be read or is no policy; it names the line and, for an
            unknown key, the nearest known one.
    """
    return read_settings(Policy, file)


def parse_policy(values: Any) -> Policy:
    """Turn plain values, as `dump_policy` makes them, into a policy.

    Raises:
        PolicyError: They are no policy.
    """
    try:
        return validate(Policy, values)
    except ValidationError as error:
        mistake = find_mistake(Policy, error)
        fix = mistake.fix or "correct it, then ask: mlflow-ext policy check FILE"
        raise PolicyError(f"the policy: {mistake.found}", mistake.expected, fix) from None


def dump_policy(policy: Policy) -> dict[str, Any]:
    """Return *policy* as JSON values, every default spelled out."""
    values: dict[str, Any] = TypeAdapter(Policy).dump_python(policy, mode="json")
    return values


def weaknesses(policy: Policy) -> list[str]:
    """Say where *policy* asks for less than it seems to.

    >>> weaknesses(OPEN)
    []
    """
    if policy.keys is not None:
        return []
    return [
        f"stage '{name}' asks for attested evidence, and without 'keys' every valid signature "
        "attests: list the keys that count"
        for name, stage in policy.stages.items()
        if any(gate.trust is Trust.ATTESTED for gate in stage.gates)
        or (stage.min_passed and stage.trust is Trust.ATTESTED)
    ]


def policy_digest(policy: Policy) -> str:
    """Return the identity of *policy*: SHA-256 over its canonical JSON, hex."""
    text = json.dumps(
        dump_policy(policy), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def policy_of(promotion: Promotion) -> Policy:
    """Read the promotion section of a project.yaml as a policy.

    A promotion goes up, through Staging where there is one: out of Production leads a rollback,
    which knows what takes the place.
    """
    below = {"Staging": ("None", "Archived"), "Production": ("Staging",)}
    if "Staging" not in promotion.stages:
        below["Production"] = below["Staging"]
    stages: dict[str, StagePolicy] = {
        name: StagePolicy(
            alias=rule.alias,
            comes_from=below[name],
            gates=tuple(GateRule(gate=gate) for gate in rule.requires),
        )
        for name, rule in promotion.stages.items()
    }
    return Policy(name="project.yaml", stages=stages)


def stage_policy(policy: Policy, stage: str) -> StagePolicy | None:
    """Return what *policy* asks of a stage; None where the stage is free."""
    return policy.stages.get(canonical_stage(stage))


def members(policy: Policy, groups: Collection[str]) -> frozenset[str]:
    """Return everybody who is in one of *groups*."""
    return frozenset(person for group in groups for person in policy.groups.get(group, ()))
