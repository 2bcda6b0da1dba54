"""The two ways in which a registry treats promotion: gated, it decides; advisory, we do.

Whoever registers, judges and promotes asks `find_mode` once and then does the same in both.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mlflow_ext.errors import RefusedError
from mlflow_ext.records import Decision
from mlflow_ext.registry.advisory.attempts import count_attempt
from mlflow_ext.registry.advisory.promote import promote
from mlflow_ext.registry.advisory.status import ADVISORY
from mlflow_ext.registry.card import write_policy
from mlflow_ext.registry.dossier import PromotionRequest
from mlflow_ext.registry.remote import Registry, find_registry
from mlflow_ext.registry.rules import Policy, dump_policy, policy_digest, policy_of
from mlflow_ext.registry.submit import Judgement, submit_reports

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlflow_ext.project import Promotion

NOT_OURS = "the promotion section of project.yaml does not govern"


class Mode(Protocol):
    """How versions of a registered model get to a stage."""

    def govern(self, promotion: Promotion) -> tuple[str, ...]:
        """Let the promotion section of a project be the policy of its model, which exists.

        Returns:
            Why it is not, one line each; empty when it is.

        Raises:
            StoreUnreachableError: The registry does not answer.
        """
        ...

    def governing(self, model: str) -> str:
        """Say which policy governs a model, and since which line of which record."""
        ...

    def submit(self, judgement: Judgement) -> tuple[int, ...]:
        """Hand in signed evidence, where a registry counts it.

        Returns:
            The number of each report's line in the ledger; empty where there is no ledger.
        """
        ...

    def count_attempt(self, model: str, holdout: str, identity: str) -> int:
        """Count a comparison of a challenger with a champion.

        Args:
            model: Name of the registered model.
            holdout: Fingerprint of the rows on which they are compared.
            identity: Digest of what is compared; the same comparison keeps its number.

        Returns:
            Its number among all that were made on these rows, from 1.
        """
        ...

    def promote(self, promotion: Promotion, request: PromotionRequest) -> Decision:
        """Move a version to a stage if its policy allows it."""
        ...


@dataclass(frozen=True)
class AdvisoryMode:
    """Plain MLflow: the policy is a tag, and whoever goes through mlflow-ext obeys it."""

    client: MlflowClient

    def govern(self, promotion: Promotion) -> tuple[str, ...]:
        """As `Mode.govern`."""
        write_policy(self.client, promotion)
        return ()

    def governing(self, model: str) -> str:
        """As `Mode.governing`."""
        return ADVISORY

    def submit(self, judgement: Judgement) -> tuple[int, ...]:
        """As `Mode.submit`."""
        return ()

    def count_attempt(self, model: str, holdout: str, identity: str) -> int:
        """As `Mode.count_attempt`."""
        return count_attempt(self.client, model, holdout, identity)

    def promote(self, promotion: Promotion, request: PromotionRequest) -> Decision:
        """As `Mode.promote`."""
        return promote(self.client, promotion, request).decision


@dataclass(frozen=True)
class GatedMode:
    """A registry that decides by the policy in its ledger, whatever the project says."""

    registry: Registry

    def govern(self, promotion: Promotion) -> tuple[str, ...]:
        """As `Mode.govern`; a policy that somebody else has set for the model stays."""
        model, wanted = promotion.model, policy_of(promotion)
        present = self.registry.ask("policy/show", model=model)
        if _is_own(present) and present["digest"] == policy_digest(wanted):
            return ()
        if _is_own(present) and present["policy"]["name"] != wanted.name:
            return (f"{NOT_OURS}; see: mlflow-ext policy show {shlex.quote(model)}",)
        return self._set(model, wanted)

    def governing(self, model: str) -> str:
        """As `Mode.governing`."""
        found = self.registry.ask("policy/show", model=model)
        author = f", set by {found['actor']}" if _is_own(found) else ""
        return f"policy '{found['policy']['name']}' governs ({found['source']}{author})"

    def submit(self, judgement: Judgement) -> tuple[int, ...]:
        """As `Mode.submit`."""
        return submit_reports(self.registry, judgement)

    def count_attempt(self, model: str, holdout: str, identity: str) -> int:
        """As `Mode.count_attempt`."""
        asked = {"model": model, "holdout": holdout, "identity": identity}
        return int(self.registry.ask("attempts/count", **asked)["attempt"])

    def promote(self, promotion: Promotion, request: PromotionRequest) -> Decision:
        """As `Mode.promote`."""
        from pydantic import TypeAdapter

        answer = self.registry.ask(
            "promote",
            model=request.model,
            version=request.version,
            to=request.to_stage,
            reason=request.reason,
        )
        return TypeAdapter(Decision).validate_python(answer["decision"])

    def _set(self, model: str, policy: Policy) -> tuple[str, ...]:
        reason = f"registered from {policy.name}"
        try:
            self.registry.ask("policy/set", model=model, policy=dump_policy(policy), reason=reason)
        except RefusedError as error:
            return (f"{NOT_OURS}: {error.found}; expected: {error.expected}",)
        return ()


def find_mode(client: MlflowClient) -> Mode:
    """Find out whether the registry of *client* is gated.

    Raises:
        StoreUnreachableError: The registry does not answer.
    """
    address = getattr(client, "_registry_uri", None)
    registry = find_registry(client.tracking_uri, address)
    return GatedMode(registry) if registry else AdvisoryMode(client)


def _is_own(shown: dict[str, Any]) -> bool:
    """Tell whether somebody has set the policy for this very model."""
    return shown["actor"] is not None
