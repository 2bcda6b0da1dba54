"""Looking back: history, the chain, replay and what-if."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.records import Action, Entry, Kind, Transition
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.operations._operation import (
    LARGEST,
    STRICT,
    AboutModel,
    Document,
    Nothing,
    Operation,
    Operations,
    Right,
    Word,
)
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.replay import replay as replay_entries
from mlflow_ext.registry.replay import whatif as imagine
from mlflow_ext.registry.rules import parse_policy

DECIDED = (Kind.TRANSITION, Kind.REFUSAL)
DECISIVE = (*DECIDED, Kind.POLICY, Kind.EVIDENCE, Kind.REVOCATION, Kind.APPROVAL, Kind.REJECTION)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Page:
    """Lines behind a number."""

    after: Annotated[int, Field(ge=0, le=LARGEST)] = 0
    limit: Annotated[int, Field(ge=1, le=5_000)] = 1_000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PerhapsModel:
    """One registered model, or all."""

    model: Word | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Imagined(PerhapsModel):
    """A policy that never governed."""

    policy: dict[str, Any]


def history(store: GatedStore, asked: AboutModel) -> Document:
    """Return every transition of a model and every refusal, oldest first.

    Raises:
        mlflow.exceptions.MlflowException: There is no such model, and none left a trace.
    """
    with store.reading(asked.model) as moment:
        found = ledger.read(moment.connection, moment.workspace, asked.model, kinds=DECIDED)
    _check_known(store, asked, found)
    return {"model": asked.model, "transitions": [asdict(_told(entry)) for entry in found]}


def verify(store: GatedStore, _: Nothing) -> Document:
    """Recompute the chain and name every line that does not hold."""
    with store.reading() as moment:
        rows, head, breaks = ledger.verify(moment.connection, moment.workspace)
    return {"rows": rows, "head": asdict(head), "problems": [asdict(found) for found in breaks]}


def export(store: GatedStore, asked: Page) -> Document:
    """Return a page of the ledger as it is."""
    with store.reading() as moment:
        found = ledger.read_page(moment.connection, moment.workspace, asked.after, asked.limit)
    is_full = len(found) == asked.limit
    return {
        "entries": [asdict(entry) for entry in found],
        "next": found[-1].seq if is_full else None,
    }


def head(store: GatedStore, _: Nothing) -> Document:
    """Return the newest line's number and hash, to be anchored elsewhere."""
    with store.reading() as moment:
        return asdict(ledger.read_head(moment.connection, moment.workspace))


def replay(store: GatedStore, asked: PerhapsModel) -> Document:
    """Take every past decision again, from the ledger alone."""
    return asdict(replay_entries(_decisive(store, asked)))


def whatif(store: GatedStore, asked: Imagined) -> Document:
    """Say what another policy would have answered."""
    return asdict(imagine(_decisive(store, asked), parse_policy(asked.policy)))


OPERATIONS: Operations = {
    "history": Operation(answer=history, payload=AboutModel, right=Right.READ),
    "audit/verify": Operation(answer=verify, payload=Nothing, right=Right.ADMIN),
    "audit/export": Operation(answer=export, payload=Page, right=Right.ADMIN),
    "audit/head": Operation(answer=head, payload=Nothing, right=Right.ADMIN),
    "replay": Operation(answer=replay, payload=PerhapsModel, right=Right.READ),
    "whatif": Operation(answer=whatif, payload=Imagined, right=Right.READ, is_write=True),
}


def _decisive(store: GatedStore, asked: PerhapsModel) -> list[Entry]:
    with store.reading() as moment:
        found = ledger.read(moment.connection, moment.workspace, asked.model, kinds=DECISIVE)
    _check_known(store, asked, found)
    return found


def _check_known(store: GatedStore, asked: AboutModel | PerhapsModel, found: list[Entry]) -> None:
    """Let no slip of the pen read as a model about which there is nothing to tell.

    One that was deleted or renamed is known by its lines.
    """
    if asked.model is not None and not found:
        store.get_registered_model(asked.model)  # says that it is missing


def _told(entry: Entry) -> Transition:
    """Return a line as a transition; a refusal is one that did not happen."""
    if entry.body["transition"]:
        return ledger.transition_of(entry)
    asked, dossier = entry.body["request"], entry.body["dossier"]
    unmet = [need["name"] for need in entry.body["decision"]["requirements"] if not need["is_met"]]
    refused = Transition(
        model=entry.model,
        version=asked["version"],
        action=Action.REFUSE,
        from_stage=dossier["stages"][str(asked["version"])],
        to_stage=asked["to_stage"],
        actor=entry.actor,
        reason=asked["reason"],
        time_ms=entry.time_ms,
        is_claimed=entry.is_claimed,
        client=entry.client,
    )
    return replace(refused, reason=f"{asked['reason']} [unmet: {', '.join(unmet)}]".strip())
