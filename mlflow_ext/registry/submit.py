"""Sign what gates said about a registered version, and hand it to the registry that enforces it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mlflow_ext.errors import FilesChangedError, RegistryStateError
from mlflow_ext.process import current_actor
from mlflow_ext.records import GateReport, Trust
from mlflow_ext.registry.environment import environment_digest
from mlflow_ext.registry.remote import Registry
from mlflow_ext.registry.signing import load_key, seal
from mlflow_ext.registry.statement import Binding, make_statement


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the gates in this process said about one version."""

    model: str
    version: int
    digest: str
    """Of the very files that were judged, as `mlflow_ext.registry.digest.digest_files`."""
    reports: tuple[GateReport, ...]
    actor: str = field(default_factory=current_actor)
    """Who judged."""


def submit_reports(registry: Registry, judgement: Judgement) -> tuple[int, ...]:
    """Sign the reports of a judgement with the key of whoever runs this, and submit them.

    Returns:
        The number of each one's line in the ledger, in the order of the reports.

    Raises:
        FilesChangedError: The registry reads other files than those that were judged.
        RegistryStateError: There is no such version, or the registry cannot read its files.
        RefusedError: The registry does not take evidence from this caller.
        KeyFileError: The key cannot be used.
        StoreUnreachableError: The registry does not answer.
    """
    model, version = judgement.model, judgement.version
    bound = registry.ask("version", model=model, version=version)
    _check_files(judgement, bound)
    envelopes = list(_sign(judgement, bound))
    answer = registry.ask("evidence/add", model=model, version=version, envelopes=envelopes)
    return tuple(answer["ids"])


def _check_files(judgement: Judgement, bound: dict[str, Any]) -> None:
    uri, theirs = f"models:/{judgement.model}/{judgement.version}", bound["digest"]
    if not theirs:
        raise RegistryStateError(
            f"the registry cannot read the files of {uri}",
            f"files at {bound['storage']} that its server can read too",
            "give the server access to that store, or register the model in one that it can read",
        )
    if theirs != judgement.digest:
        raise FilesChangedError(uri, judgement.digest, theirs)


def _sign(judgement: Judgement, bound: dict[str, Any]) -> Iterator[dict[str, Any]]:
    key = load_key()
    binding = Binding(
        workspace=bound["workspace"],
        model=judgement.model,
        version=judgement.version,
        version_created_ms=bound["created_ms"],
        model_digest=judgement.digest,
        environment_digest=environment_digest(),
        actor=judgement.actor,
        trust=Trust.ATTESTED,
    )
    for report in judgement.reports:
        yield seal(key, make_statement(report, binding))
