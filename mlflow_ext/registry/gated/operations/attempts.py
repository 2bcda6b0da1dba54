"""How often a model was compared on one holdout: on what its error budget is spent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.records import Kind
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.operations._operation import (
    STRICT,
    AboutModel,
    Document,
    Operation,
    Operations,
    Right,
    Text,
)
from mlflow_ext.registry.gated.store import GatedStore


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Comparison(AboutModel):
    """A challenger is about to be compared with a champion on a holdout."""

    holdout: Annotated[Text, Field(max_length=100)]
    """Fingerprint of the rows."""
    identity: Annotated[Text, Field(max_length=100)]
    """Digest of what is compared: the same comparison keeps its number."""


def count(store: GatedStore, asked: Comparison) -> Document:
    """Return the number of a comparison on its holdout, from 1, and write it down if it is new."""
    with store.holding(asked.model) as moment:
        lines = ledger.read(moment.connection, moment.workspace, asked.model, kinds=[Kind.ATTEMPT])
        known = [e.body["identity"] for e in lines if e.body["holdout"] == asked.holdout]
        if asked.identity not in known:
            known.append(asked.identity)
            body = {"holdout": asked.holdout, "identity": asked.identity, "attempt": len(known)}
            ledger.append(moment.connection, ledger.draft(moment, Kind.ATTEMPT, body))
    return {"model": asked.model, "attempt": known.index(asked.identity) + 1}


OPERATIONS: Operations = {
    "attempts/count": Operation(
        answer=count, payload=Comparison, right=Right.UPDATE, is_write=True
    ),
}
