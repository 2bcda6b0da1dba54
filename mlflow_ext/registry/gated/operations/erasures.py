"""Erasure requests: what was taken out of the data of a model, and which versions still know it.

The ledger is kept for ever, so a line names the request and never the person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from mlflow_ext.records import Entry, Kind
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.governance import find_policy
from mlflow_ext.registry.gated.operations._operation import (
    LARGEST,
    STRICT,
    AboutModel,
    Document,
    Operation,
    Operations,
    Reason,
    Right,
    Text,
)
from mlflow_ext.registry.gated.origins import Origin, read_origins
from mlflow_ext.registry.gated.standing import INACTIVE, read_standing
from mlflow_ext.registry.gated.store import GatedStore
from mlflow_ext.registry.gated.transaction import Moment
from mlflow_ext.registry.terms import Digest


def _nobody(text: str) -> str:
    if "@" in text:
        raise ValueError("a line is kept for ever, so it names no person and holds no address")
    return text


Request = Annotated[Text, Field(max_length=100), AfterValidator(_nobody)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Erasure(AboutModel):
    """Rows were erased from tables of a model."""

    request: Request
    """The number of the request, as the register of requests has it; no name, no address."""
    fingerprints: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=100)]
    """Of the tables as they were, with the rows."""
    rows: Annotated[int, Field(ge=0, le=LARGEST)]
    """How many were erased."""
    reason: Annotated[Reason, Field(min_length=1), AfterValidator(_nobody)]


def record(store: GatedStore, asked: Erasure) -> Document:
    """Write an erasure into the ledger; the same once more is no new line.

    Raises:
        mlflow.exceptions.MlflowException: There is no such model.
    """
    body = {
        "request": asked.request,
        "fingerprints": sorted(set(asked.fingerprints)),
        "rows": asked.rows,
        "reason": asked.reason,
    }
    with store.holding(asked.model) as moment:
        store.get_registered_model(asked.model)  # says that it is missing
        for line in _read(moment, Kind.ERASURE):
            if (line.model, line.body) == (asked.model, body):
                return _told(line)
        return _told(ledger.append(moment.connection, ledger.draft(moment, Kind.ERASURE, body)))


def list_erasures(store: GatedStore, asked: AboutModel) -> Document:
    """Return the erasures of a model, and each version, of any name, that knows the rows of one.

    Raises:
        mlflow.exceptions.MlflowException: There is no such model.
    """
    store.get_registered_model(asked.model)  # says that it is missing
    erasures, affected = [], []
    with store.reading(asked.model) as moment:
        lines, names = _read(moment, Kind.ERASURE), _names(moment)
        origins, unreadable = read_origins(moment.connection, moment.workspace)
        for line in lines:
            found = list(_affected(moment, line, origins))
            if line.model in names or any(each["model"] == asked.model for each in found):
                erasures.append(_told(line))
                affected += found
    problems = [_describe(piece) for piece in unreadable if lines]
    return {
        "model": asked.model,
        "erasures": erasures,
        "affected": affected,
        "problems": problems,
        "is_clean": not problems and all(each["stage"] in INACTIVE for each in affected),
    }


OPERATIONS: Operations = {
    "erasures/record": Operation(answer=record, payload=Erasure, right=Right.MANAGE, is_write=True),
    "erasures/list": Operation(answer=list_erasures, payload=AboutModel, right=Right.MANAGE),
}


def _read(moment: Moment, kind: Kind) -> list[Entry]:
    return ledger.read(moment.connection, moment.workspace, kinds=[kind])


def _told(line: Entry) -> Document:
    told = {"seq": line.seq, "model": line.model, "time_ms": line.time_ms, "actor": line.actor}
    return {**told, **line.body}


def _describe(piece: Entry) -> str:
    return (
        f"line {piece.seq} of the ledger, evidence of model '{piece.model}', cannot be relied on: "
        "nobody knows which rows it was about (mlflow-ext audit verify)"
    )


def _names(moment: Moment) -> set[str]:
    """Return the name of the model and those that it had before."""
    names = {moment.model}
    for line in reversed(_read(moment, Kind.RENAME)):
        if line.body["new_name"] in names:
            names.add(line.model)
    return names


def _affected(moment: Moment, line: Entry, origins: Sequence[Origin]) -> Iterator[Document]:
    """Yield the versions that know the rows of *line*."""
    for origin in origins:
        if tables := origin.named(line.body["fingerprints"]):
            yield {
                "model": origin.model,
                "version": origin.version,
                "stage": _stage(moment, origin),
                "request": line.body["request"],
                "tables": tables,
            }


def _stage(moment: Moment, origin: Origin) -> str:
    policy, _ = find_policy(replace(moment, model=origin.model))
    place = moment.connection, moment.workspace, origin.model
    return read_standing(*place, origin.version).stage_of(origin.version, policy)
