"""The gated store: MLflow's own registry store, which asks the policy before it moves anything.

A mixin over MLflow's ``SqlAlchemyStore`` and its workspace-aware sibling. Every method that moves a
stage or an alias, or could go round a refusal, is overridden: it takes the model's row lock,
decides and records in one transaction, and calls MLflow's own method inside it. What no policy
governs behaves exactly as in plain MLflow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from mlflow_ext.errors import MlflowExtError, RefusedError
from mlflow_ext.records import Kind
from mlflow_ext.registry.dossier import PromotionRequest
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.caller import current_caller
from mlflow_ext.registry.gated.governance import carry_authors, find_policy
from mlflow_ext.registry.gated.moves import CAN_ARCHIVE, Files, Moves, Outcome
from mlflow_ext.registry.gated.recording import (
    carry_stages,
    describe_refusal,
    record_end_of_alias,
)
from mlflow_ext.registry.gated.reserved import (
    PROVENANCE,
    objection_to_model_tag,
    objection_to_version_tag,
)
from mlflow_ext.registry.gated.sources import find_place, keep_place
from mlflow_ext.registry.gated.standing import (
    IS_PROMPT,
    PROMPT_SOURCES,
    Standing,
    VersionRow,
    read_standing,
)
from mlflow_ext.registry.gated.transaction import Moment, transaction
from mlflow_ext.registry.rules import Policy
from mlflow_ext.registry.tags import STAGE

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

MethodT = TypeVar("MethodT", bound=Callable[..., Any])
NUMBER_BITS = 63
"""Of the largest number that a database takes."""


def told_to_mlflow(method: MethodT) -> MethodT:
    """Turn our errors into the one of MLflow's that reaches every client with its text: 403."""

    @wraps(method)
    def told(*args: Any, **kwargs: Any) -> Any:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

        try:
            return method(*args, **kwargs)
        except MlflowExtError as error:
            raise MlflowException(str(error), PERMISSION_DENIED) from error

    return told  # type: ignore[return-value]


class GatedStore(Moves):
    """Mixin; put it before a SQLAlchemy registry store of MLflow's."""

    @told_to_mlflow
    def transition_model_version_stage(
        self, name: str, version: int | str, stage: str, archive_existing_versions: bool
    ) -> ModelVersion | None:
        """Move a version to a stage, see `move`."""
        from mlflow.entities.model_registry.model_version_stages import get_canonical_stage

        to_stage = str(get_canonical_stage(stage))  # type: ignore[no-untyped-call]
        if archive_existing_versions and to_stage not in CAN_ARCHIVE:
            return super().transition_model_version_stage(name, version, stage, True)
        request = self._request(name, _number(version), to_stage)
        outcome = self.move(request, archive_existing_versions)
        return _allowed(outcome)

    @told_to_mlflow
    def set_registered_model_alias(self, name: str, alias: str, version: int | str) -> None:
        """Point an alias at a version; a governed alias takes the version to its stage."""
        number = _number(version)
        with transaction(self._open_session, self) as session:
            policy, _ = find_policy(self._moment(session.connection(), name))
            if policy.stage_of_alias(alias) is None:
                super().set_registered_model_alias(name, alias, version)
                return
        outcome = self._with_files(
            name, number, lambda moment, files: self._set_alias(moment, files, alias, number)
        )
        if outcome:
            _allowed(outcome)

    @told_to_mlflow
    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Delete an alias, unless a version holds its stage."""
        with self.holding(name) as moment:
            policy, _ = find_policy(moment)
            standing = read_standing(moment.connection, moment.workspace, name)
            holder = standing.aliases.get(alias)
            stage = policy.stage_of_alias(alias)
            if holder and stage and standing.protected(policy).get(holder) == stage:
                raise RefusedError(
                    f"alias '{alias}' of model '{name}' goes with stage {stage}, which "
                    f"version {holder} holds",
                    f"a version that leaves {stage}; the alias goes with it",
                    f"mlflow-ext rollback {name} --reason '...'",
                )
            if holder and stage in policy.custom_stages:
                super().delete_model_version_tag(name, holder, STAGE)
                if standing.stage_of(holder, policy) == stage:
                    record_end_of_alias(moment, standing.versions[holder], stage, alias)
            super().delete_registered_model_alias(name, alias)

    @told_to_mlflow
    def delete_model_version(self, name: str, version: int | str) -> None:
        """Delete a version, unless it is in a protected stage."""
        number = _number(version)
        with self.holding(name) as moment:
            policy, standing = self._unless_protected(moment, "deleted", number)
            super().delete_model_version(name, version)
            is_known = number in standing.versions and not standing.is_exempt(number)
            if policy.stages and is_known:
                _write(moment, Kind.DELETION, {}, standing.versions[number])

    @told_to_mlflow
    def delete_registered_model(self, name: str) -> None:
        """Delete a model, unless one of its versions is in a protected stage."""
        with self.holding(name) as moment:
            policy, _ = self._unless_protected(moment, "deleted")
            super().delete_registered_model(name)
            if policy.stages:
                _write(moment, Kind.DELETION, {})

    @told_to_mlflow
    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Rename a model, unless a version is in a stage protected under either name."""
        with self.holding(name, new_name) as moment:
            policy, _ = self._unless_protected(moment, "renamed")
            there = replace(moment, model=new_name)
            later, standing = self._unless_protected(
                moment, f"renamed to '{new_name}'", policy=find_policy(there)[0]
            )
            _check_aliases(later, standing, name, new_name)
            renamed = super().rename_registered_model(name, new_name)
            if policy.stages or later.stages:
                _write(moment, Kind.RENAME, {"new_name": new_name})
                carry_authors(moment, there)
                carry_stages(there, standing, later, name)
            return renamed

    @told_to_mlflow
    def create_registered_model(
        self, name: str, tags: Any = None, description: Any = None, deployment_job_id: Any = None
    ) -> RegisteredModel:
        """Create a registered model whose tags leave the registry's own alone."""
        for tag in tags or ():
            self._obey(objection_to_model_tag(tag.key, has_models=False), name)
        return super().create_registered_model(name, tags, description, deployment_job_id)

    @told_to_mlflow
    def create_model_version(
        self, name: str, source: str, *args: Any, **kwargs: Any
    ) -> ModelVersion:
        """Create a version, and record who registered it."""
        tags = kwargs["tags"] if "tags" in kwargs else (args[1:2] or [None])[0]
        for tag in tags or ():
            self._obey(objection_to_version_tag(tag.key, is_there=False), name)
        place = find_place(source)
        with transaction(self._open_session, self) as session:
            created = super().create_model_version(name, source, *args, **kwargs)
            moment = self._moment(session.connection(), name)
            if place:
                keep_place(moment.connection, created, moment.workspace, place)
            if source not in PROMPT_SOURCES and find_policy(moment)[0].stages:
                standing = read_standing(
                    moment.connection, moment.workspace, name, int(created.version)
                )
                body = {"source": source, "run_id": created.run_id}
                _write(moment, Kind.REGISTRATION, body, standing.versions[int(created.version)])
            return created

    @told_to_mlflow
    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Write a tag that is not the registry's own."""
        self._obey(objection_to_model_tag(tag.key, self._has_models(name, tag.key)), name)
        super().set_registered_model_tag(name, tag)

    @told_to_mlflow
    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Delete a tag that is not the registry's own."""
        self._obey(objection_to_model_tag(key, has_models=False), name)
        super().delete_registered_model_tag(name, key)

    @told_to_mlflow
    def set_model_version_tag(self, name: str, version: int | str, tag: Any) -> None:
        """Write a tag that is not the registry's own, and provenance once."""
        is_there = self._has_tag(name, _number(version), tag.key)
        self._obey(objection_to_version_tag(tag.key, is_there), name)
        super().set_model_version_tag(name, version, tag)

    @told_to_mlflow
    def delete_model_version_tag(self, name: str, version: int | str, key: str) -> None:
        """Delete a tag that is not the registry's own."""
        self._obey(objection_to_version_tag(key, is_there=True), name)
        super().delete_model_version_tag(name, version, key)

    def _obey(self, objection: str | None, model: str) -> None:
        if objection is None:
            return
        with self.reading(model) as moment:
            if not find_policy(moment)[0].stages:
                return
        raise RefusedError(
            f"model '{model}': {objection}",
            "a tag of another name; evidence goes into the ledger",
            f"mlflow-ext gate run {model} VERSION",
        )

    def _request(self, model: str, version: int, to_stage: str) -> PromotionRequest:
        actor = current_caller().actor
        return PromotionRequest(
            model=model, version=version, to_stage=to_stage, actor=actor, reason=""
        )

    def _set_alias(self, moment: Moment, files: Files, alias: str, version: int) -> Outcome | None:
        """Set a free alias as MLflow does; None. A governed one takes its version to a stage."""
        policy, _ = find_policy(moment)
        stage = policy.stage_of_alias(alias)
        standing = read_standing(moment.connection, moment.workspace, moment.model, version)
        if stage is None or version not in standing.versions or standing.is_exempt(version):
            super().set_registered_model_alias(moment.model, alias, version)
            return None
        _check_case(policy, stage, alias)
        return self._move(moment, self._request(moment.model, version, stage), files, False)

    def _unless_protected(
        self, moment: Moment, what: str, version: int | None = None, policy: Policy | None = None
    ) -> tuple[Policy, Standing]:
        """Return how a model stands, unless it (or one version) holds a protected stage."""
        policy = policy or find_policy(moment)[0]
        asked = () if version is None else (version,)
        standing = read_standing(moment.connection, moment.workspace, moment.model, *asked)
        held = standing.protected(policy)
        for number in asked or held:
            if number in held and not standing.is_exempt(number):
                raise RefusedError(
                    f"version {number} of model '{moment.model}' holds {held[number]}: "
                    f"it cannot be {what}",
                    f"a version in no stage that policy '{policy.name}' protects",
                    f"mlflow-ext rollback {moment.model} --reason '...', or move it to Archived",
                )
        return policy, standing

    def _has_models(self, name: str, key: str) -> bool:
        """Tell whether a model holds versions that are no prompts, if that matters for *key*."""
        if key != IS_PROMPT:
            return False
        from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

        version: Any = SqlModelVersion

        with self.reading(name) as moment:
            query = sa.select(version.version).where(
                version.workspace == moment.workspace,
                version.name == name,
                version.source.not_in(PROMPT_SOURCES),
            )
            return moment.connection.execute(query.limit(1)).scalar() is not None

    def _has_tag(self, name: str, version: int, key: str) -> bool:
        if not key.startswith(PROVENANCE):
            return False
        from mlflow.store.model_registry.dbmodels.models import SqlModelVersionTag

        tag: Any = SqlModelVersionTag

        with self.reading(name) as moment:
            query = sa.select(tag.key).where(
                tag.workspace == moment.workspace,
                tag.name == name,
                tag.version == version,
                tag.key == key,
            )
            return moment.connection.execute(query).scalar() is not None


def _write(moment: Moment, kind: Kind, body: dict[str, Any], row: VersionRow | None = None) -> None:
    ledger.append_all(moment.connection, [ledger.draft(moment, kind, body, row)])


def _allowed(outcome: Outcome) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    if not outcome.decision.is_allowed:
        raise MlflowException(describe_refusal(outcome.policy, outcome.decision), PERMISSION_DENIED)
    return outcome.version


def _check_aliases(policy: Policy, standing: Standing, model: str, new_name: str) -> None:
    """Let no alias arrive under a name whose policy gives it with a stage that nobody decided."""
    for alias in sorted(standing.aliases):
        stage = policy.stage_of_alias(alias)
        if stage and policy.stages[stage].is_protected:
            raise RefusedError(
                f"model '{model}' has the alias '{alias}', which goes with stage {stage} in policy "
                f"'{policy.name}' of '{new_name}'",
                "no alias that a policy gives",
                f"delete the alias '{alias}', rename, then: mlflow-ext promote",
            )


def _number(version: int | str) -> int:
    """Return a version as the number it is: PostgreSQL does not compare a text with one."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_model_version

    number = int(_validate_model_version(version))  # type: ignore[no-untyped-call]
    if number.bit_length() > NUMBER_BITS:  # SQLite has an internal error for it
        raise MlflowException.invalid_parameter_value(f"No version has the number {number}.")
    return number


def _check_case(policy: Policy, stage: str, alias: str) -> None:
    named = policy.stages[stage].alias
    if alias != named:
        raise RefusedError(
            f"alias '{alias}'", f"'{named}', the alias of stage {stage}", f"write '{named}'"
        )
