"""One registered model as it stands now: its versions, stages, aliases and tags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow_ext.errors import ModelNotFoundError
from mlflow_ext.registry.connection import is_missing, reaching

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the registry says about one model at one moment."""

    name: str
    description: str
    tags: dict[str, str]
    aliases: dict[str, int]
    """Alias -> version."""
    versions: dict[int, ModelVersion]
    """Version number -> MLflow's entity, oldest first."""

    @property
    def stages(self) -> dict[int, str]:
        """Version number -> stage."""
        return {number: str(v.current_stage) for number, v in self.versions.items()}

    def in_stage(self, stage: str) -> tuple[int, ...]:
        """Return the versions in *stage*, oldest first."""
        return tuple(number for number, held in self.stages.items() if held == stage)

    def version(self, number: int) -> ModelVersion:
        """Return one version.

        Raises:
            ModelNotFoundError: There is no such version.
        """
        if number not in self.versions:
            raise ModelNotFoundError(self.name, str(number), [str(n) for n in self.versions])
        return self.versions[number]


def read_snapshot(client: MlflowClient, model: str) -> Snapshot:
    """Read the registered model *model*.

    Raises:
        ModelNotFoundError: There is no such model.
        StoreUnreachableError: The registry does not answer.
    """
    with reaching(client):
        registered = _get_model(client, model)
        versions = {int(version.version): version for version in _get_versions(client, model)}
    return Snapshot(
        name=model,
        description=registered.description or "",
        tags=dict(registered.tags),
        aliases={alias: int(number) for alias, number in registered.aliases.items()},
        versions=dict(sorted(versions.items())),
    )


def _get_model(client: MlflowClient, model: str) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(model)
    except MlflowException as error:
        if not is_missing(error):
            raise
        known = [found.name for found in client.search_registered_models(max_results=50)]
        raise ModelNotFoundError(model, None, known) from None


def _get_versions(client: MlflowClient, model: str) -> Iterator[ModelVersion]:
    token = None
    while True:
        # Double quotes, because a name may hold an apostrophe.
        page = client.search_model_versions(f'name = "{model}"', page_token=token)
        yield from page
        token = page.token
        if not token:
            return
