"""The promotion policy of a registered model as its team writes it down, in YAML.

Nothing here decides: `mlflow_ext.registry.policy` does. With no policy set, `EVIDENCE` governs.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mlflow_ext.records import Trust

STRICT = ConfigDict(extra="forbid")
Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, Field(pattern=r"^\d+[smhd]$")]
"""A whole number of seconds, minutes, hours or days, e.g. ``36h``."""
STAGES = ("None", "Staging", "Production", "Archived")
"""MLflow's own; any other stage of a policy lives as an alias and a tag."""
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GateRule:
    """One gate that must have passed."""

    gate: Text
    trust: Trust = Trust.CLAIMED
    """The weakest level that counts."""
    max_age: Duration | None = None
    config_digest: str | None = None
    """The report must come from exactly this configuration, SHA-256 hex."""
    minimum: dict[str, float] = Field(default_factory=dict)
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

    starts: Text
    """Cron expression of the beginning, five fields."""
    lasts: Duration
    timezone: Text = "UTC"
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

    alias: Text | None = None
    """The alias that moves with the stage; a stage that is not MLflow's own needs one."""
    comes_from: tuple[Text, ...] = ()
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrustedKey:
    """A key whose signature makes evidence *attested*."""

    public_key: Text
    """Ed25519, the 32 raw bytes in base64, as ``mlflow-ext evidence key`` prints it."""
    owner: str = ""
    expires: str | None = None
    """ISO date or time; from then on its evidence does not count."""
    revoked: str | None = None
    """ISO date or time; its evidence does not count, whenever it was made."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Policy:
    """The promotion policy of a registered model."""

    name: Text
    stages: dict[Text, StagePolicy] = Field(default_factory=dict)
    """The governed stages; a stage without an entry is free."""
    groups: dict[Text, tuple[Text, ...]] = Field(default_factory=dict)
    """Group -> its members, by the name the server knows them under."""
    keys: tuple[TrustedKey, ...] | None = None
    """None: any valid signature attests (integrity, not identity). Listed: only these."""
    owners: tuple[Text, ...] = ()
    """Groups that may replace this policy; empty: whoever may manage the model."""


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
