"""The model version that a gate judges, and the rows it is judged on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GateSubject:
    """What a gate's report is about."""

    model: str
    """Name of the registered model."""
    version: int
    """Its version, from 1."""
    fingerprints: dict[str, str]
    """Table name -> content fingerprint of the rows that are judged."""
    rows: int
    """Number of those rows."""
    created_ms: int
    """When it is judged, in milliseconds since the epoch."""

    name: str = "holdout"
    """Name of the table that those rows are."""

    @property
    def holdout(self) -> str:
        """Fingerprint of those rows."""
        return self.fingerprints[self.name]

    @property
    def uri(self) -> str:
        """``models:/NAME/VERSION``."""
        return f"models:/{self.model}/{self.version}"
