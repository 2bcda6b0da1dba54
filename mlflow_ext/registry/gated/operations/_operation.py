"""The form of an operation, and the payloads that several share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass as record
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mlflow_ext.registry.gated.store import GatedStore

STRICT = ConfigDict(extra="forbid")
Word = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Any text that PostgreSQL can compare with."""
Text = Annotated[Word, Field(min_length=1)]
Reason = Annotated[str, Field(max_length=10_000)]
"""In the words of the caller; every later decision about the version carries votes with theirs."""
LARGEST = 2**63 - 1
"""The largest number that a database takes."""
Number = Annotated[int, Field(ge=1, le=LARGEST)]
Document = dict[str, Any]


class Right(StrEnum):
    """What a user must be allowed, in MLflow's own terms, on the registered model that is named."""

    READ = "read"
    UPDATE = "update"
    MANAGE = "manage"
    ADMIN = "admin"
    """On the whole server."""


@record(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked."""

    answer: Callable[[GatedStore, Any], Document]
    """From the store and a payload of the kind below."""
    payload: type[Any]
    right: Right
    is_write: bool = False
    """True: it is asked with POST and changes something."""


Operations = Mapping[str, Operation]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Nothing:
    """No payload."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AboutModel:
    """A registered model."""

    model: Annotated[Text, Field(max_length=256)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AboutVersion(AboutModel):
    """One of its versions."""

    version: Number


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AboutStage(AboutVersion):
    """A version and the stage it is to go to."""

    to: Text
    reason: Reason = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AboutMove(AboutStage):
    """The same, to be done or only to be decided."""

    dry_run: bool = False
