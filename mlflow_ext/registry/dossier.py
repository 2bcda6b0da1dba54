"""What a decision is asked for and what it rests on: plain values, gathered by whoever asks."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from mlflow_ext.records import Action, Attestation, Vote


@dataclass(frozen=True, kw_only=True)
class PromotionRequest:
    """Somebody asks for a version to be moved to a stage."""

    model: str
    version: int
    to_stage: str
    actor: str
    """Who asks, e.g. ``user@host``."""
    reason: str
    """Why, in the words of the actor."""
    is_dry_run: bool = False
    """True: only say what the decision would be."""
    action: Action = Action.PROMOTE
    """``PROMOTE``, ``ROLLBACK`` or ``FORCE``."""

    def command(self, verb: str, to_stage: str = "") -> str:
        """Return the command line that does *verb* to the version, for its own stage or another.

        >>> request = PromotionRequest(
        ...     model="delay", version=3, to_stage="Production", actor="ann", reason="better"
        ... )
        >>> request.command("approve")
        "mlflow-ext approve delay 3 --to Production --reason '...'"
        """
        model, stage = shlex.quote(self.model), shlex.quote(to_stage or self.to_stage)
        return f"mlflow-ext {verb} {model} {self.version} --to {stage} --reason '...'"


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """Everything a decision rests on, at one moment."""

    stages: dict[int, str]
    """Version -> stage, every version of the model."""
    attestations: tuple[Attestation, ...] = ()
    """About this very version."""
    votes: tuple[Vote, ...] = ()
    """About this very version."""
    authors: tuple[str, ...] = ()
    """Who registered, requested or attested it."""
    entered_ms: int | None = None
    """When it entered its present stage; None: nobody knows."""
    has_been_there: bool = False
    """True: this very version has held the stage before."""
    is_settled: bool = True
    """False: it is in the stage already, and yet something would change, as whose the alias is."""
    changed_files: str = ""
    """Why its files are not those it held the stage with; empty: they are."""
    now_ms: int = 0
    """The moment, in milliseconds since the epoch."""
