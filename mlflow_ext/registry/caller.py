"""Who asks: the name, whether somebody has checked it, and the program that was used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The person or machine behind one request."""

    actor: str
    is_claimed: bool = True
    """False when the server has authenticated the name."""
    client: str = ""
    """The program, as it named itself."""
