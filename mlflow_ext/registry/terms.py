"""The words that policies are written in: durations, moments, stages, aliases, keys."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

STAGES = ("None", "Staging", "Production", "Archived")
"""MLflow's own; any other stage of a policy lives as an alias and a tag."""
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(duration: str) -> int:
    """Return the length of a duration such as ``36h`` in milliseconds.

    >>> milliseconds("36h")
    129600000
    """
    return int(duration[:-1]) * UNITS_MS[duration[-1]]


def moment_ms(moment: str) -> int:
    """Return an ISO date or time in milliseconds since the epoch; without a zone it is in UTC.

    >>> moment_ms("1970-01-02")
    86400000
    """
    parsed = datetime.fromisoformat(moment)
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def canonical_stage(stage: str) -> str:
    """Return a stage as MLflow spells it, whose own four have no case; others stay as they are.

    >>> canonical_stage("production"), canonical_stage("UAT")
    ('Production', 'UAT')
    """
    return next((known for known in STAGES if known.lower() == stage.lower()), stage)


def _check_moment(moment: str) -> str:
    try:
        moment_ms(moment)
    except (ValueError, OverflowError):
        raise ValueError("an ISO date or time, e.g. 2027-01-31") from None
    return moment


def _check_cron(expression: str) -> str:
    try:
        if len(expression.split()) != 5:
            raise CronSimError("Wrong number of fields")
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        what = str(error) or "Never"
        raise ValueError(
            f"a cron expression of five fields, e.g. '0 17 * * FRI' ({what.lower()})"
        ) from None
    return expression


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("an IANA time zone, e.g. Europe/Berlin") from None
    return name


def _check_key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:
        size = 0
    if size != 32:
        raise ValueError("the 32 bytes of an Ed25519 public key in base64")
    return text


def _check_alias(alias: str) -> str:
    if re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        raise ValueError("an alias that MLflow does not keep for itself, as it does latest and v12")
    return alias


Text = Annotated[str, Field(min_length=1)]
StageName = Annotated[str, Field(min_length=1, max_length=64)]
"""As long as the ledger has room for."""
Stage = Annotated[str, Field(min_length=1), AfterValidator(canonical_stage)]
"""A stage, MLflow's own in MLflow's spelling."""
Duration = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}[smhd]$")]
"""A whole number of seconds, minutes, hours or days, e.g. ``36h``."""
Moment = Annotated[str, AfterValidator(_check_moment)]
"""An ISO date or time; without a zone it is in UTC."""
Alias = Annotated[str, Field(pattern=r"^[\w-]+$", max_length=255), AfterValidator(_check_alias)]
"""A name that MLflow accepts for an alias."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Cron = Annotated[str, AfterValidator(_check_cron)]
"""A cron expression of five fields."""
Timezone = Annotated[str, AfterValidator(_check_timezone)]
"""An IANA name, e.g. ``Europe/Berlin``."""
PublicKey = Annotated[str, AfterValidator(_check_key)]
"""Ed25519, the 32 raw bytes in base64."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, hex."""
