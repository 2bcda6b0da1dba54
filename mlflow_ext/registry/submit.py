"""Sign what gates said about a registered version, and hand it to the registry that enforces it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_ext.data.model_files import local_copy
from mlflow_ext.errors import FilesChangedError, RegistryStateError
from mlflow_ext.process import current_actor
from mlflow_ext.records import GateReport, Trust
from mlflow_ext.registry.digest import digest_files
from mlflow_ext.registry.environment import environment_digest
from mlflow_ext.registry.remote import Registry
from mlflow_ext.registry.signing import load_key, seal
from mlflow_ext.registry.snapshot import read_snapshot
from mlflow_ext.registry.statement import Binding, make_statement

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What gates said about one version."""

    model: str
    version: int
    digest: str
    """Of the very files that were judged, as `mlflow_ext.registry.digest.digest_files`."""
    reports: tuple[GateReport, ...]


def judge_copy(
    client: MlflowClient,
    model: str,
    version: int,
    judge: Callable[[Path], tuple[GateReport, ...]],
) -> Judgement:
    """Have a copy of the version's files judged, which nobody can swap between digest and verdict.

    Args:
        client: The registry.
        model: Name of the registered model.
        version: Its version.
        judge: From the local folder to the reports.

    Raises:
        ModelNotFoundError: There is no such version.
        StoreUnreachableError: The registry does not answer, or the files cannot be read.
    """
    read_snapshot(client, model).version(version)
    with local_copy(client, model, version) as files:
        digest = digest_files(files)
        return Judgement(model=model, version=version, digest=digest, reports=judge(files))


def submit_reports(
    registry: Registry,
    judgement: Judgement,
    actor: str | None = None,
    trust: Trust = Trust.ATTESTED,
) -> tuple[int, ...]:
    """Sign the reports of a judgement with the key of this process, and submit them.

    Args:
        registry: Where the version is registered.
        judgement: Its reports, and what they are about.
        actor: Who judged; None: the user of this process.
        trust: What the signature stands for; *recomputed* counts under the registry's own key only.

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
    binding = Binding(
        workspace=bound["workspace"],
        model=model,
        version=version,
        version_created_ms=bound["created_ms"],
        model_digest=judgement.digest,
        environment_digest=environment_digest(),
        actor=actor or current_actor(),
        trust=trust,
    )
    envelopes = list(_sign(judgement.reports, binding))
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


def _sign(reports: tuple[GateReport, ...], binding: Binding) -> Iterator[dict[str, Any]]:
    key = load_key()
    for report in reports:
        yield seal(key, make_statement(report, binding))
