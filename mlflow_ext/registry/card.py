"""What a registered model says about itself, so that the MLflow UI answers "what is this for"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlflow_ext.errors import RegistryStateError
from mlflow_ext.project import Kpi, Project, Promotion
from mlflow_ext.records import from_json
from mlflow_ext.registry import tags
from mlflow_ext.registry.connection import reaching
from mlflow_ext.registry.snapshot import read_snapshot

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG_LIMIT = 5000  # VARCHAR(5000) in MLflow's schema for models; its own check lets more through


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What belongs to one version beside the model file."""

    project: Project
    """The problem it solves; ``project.promotion.model`` is the name it is registered under."""
    project_digest: str
    """SHA-256 of project.yaml, hex."""
    fingerprints: Mapping[str, str]
    """Table -> content fingerprint of the rows it was made and measured from."""
    kpis: Mapping[str, float]
    """Metric -> holdout value."""
    promised: Mapping[str, str] = field(default_factory=dict)
    """Metric -> its value on rows kept from the search, with the interval, in words."""

    @property
    def version_tags(self) -> dict[str, str]:
        """The card as tags of the version."""
        return {
            tags.PROJECT_DIGEST: self.project_digest,
            **{f"{tags.FINGERPRINT}{table}": text for table, text in self.fingerprints.items()},
            **{f"{tags.KPI}{metric}": f"{value:.6g}" for metric, value in self.kpis.items()},
            **{f"{tags.PROMISED}{metric}": text for metric, text in self.promised.items()},
        }


def describe_model(client: MlflowClient, card: ModelCard) -> None:
    """Create the registered model if needed and write the project into its description and tags.

    The policy is not among them: see `mlflow_ext.registry.mode`.

    Raises:
        RegistryStateError: A text is too long for the registry.
        StoreUnreachableError: The registry does not answer.
    """
    from mlflow.exceptions import MlflowException

    project, name = card.project, card.project.promotion.model
    with reaching(client):
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        client.update_registered_model(name, _fitting("description", _description(project)))
        for key, value in _model_tags(card).items():
            client.set_registered_model_tag(name, key, _fitting(key, value))


def write_policy(client: MlflowClient, promotion: Promotion) -> None:
    """Write the promotion policy on its registered model, as `load_policy` reads it.

    Raises:
        RegistryStateError: It is too long for the registry, or there is no such model.
        StoreUnreachableError: The registry does not answer.
    """
    from pydantic import TypeAdapter

    text = TypeAdapter(Promotion).dump_json(promotion).decode()
    with reaching(client):
        client.set_registered_model_tag(promotion.model, tags.POLICY, _fitting(tags.POLICY, text))


def load_policy(client: MlflowClient, model: str) -> Promotion:
    """Read the promotion policy that is written on a registered model.

    Raises:
        ModelNotFoundError: There is no such model.
        RegistryStateError: It carries no policy, not a readable one, or that of another model.
        StoreUnreachableError: The registry does not answer.
    """
    text = read_snapshot(client, model).tags.get(tags.POLICY, "")
    try:
        promotion = from_json(Promotion, text)
    except ValueError:
        what = f"not a policy: {text[:80]}" if text else "missing"
    else:
        if promotion.model == model:
            return promotion
        what = f"the policy of '{promotion.model}'"
    raise RegistryStateError(
        f"model '{model}': tag {tags.POLICY} is {what}",
        "the promotion policy of project.yaml, as registering writes it",
        "mlflow run . -e register --env-manager local",
    )


def _model_tags(card: ModelCard) -> dict[str, str]:
    project = card.project
    return {
        tags.GOAL: project.goal,
        tags.OWNER: project.owner,
        tags.PROJECT_DIGEST: card.project_digest,
        **{f"{tags.KPI}{kpi.metric}": _threshold(kpi) for kpi in project.kpis},
    }


def _description(project: Project) -> str:
    kpis = "\n".join(f"- **{k.metric}** {_threshold(k)}: {k.why}" for k in project.kpis)
    return (
        f"{project.goal}\n\n"
        f"**Predicts** `{project.target.column}` = {project.target.positive}: "
        f"{project.target.definition}, for {project.unit}.\n\n"
        f"**Owner** {project.owner}\n\n**Measured against**\n{kpis}"
    )


def _threshold(kpi: Kpi) -> str:
    return f"{'>=' if kpi.direction == 'maximize' else '<='} {kpi.threshold:g}"


def _fitting(what: str, text: str) -> str:
    if len(text) <= TAG_LIMIT:
        return text
    raise RegistryStateError(
        f"the {what} of the model has {len(text)} characters",
        f"at most {TAG_LIMIT}, which every MLflow database holds",
        "shorten it in project.yaml",
    )
