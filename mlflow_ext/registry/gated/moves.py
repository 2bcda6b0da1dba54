"""Moving a version inside a gated registry: one transaction that locks, decides, moves and records.

MLflow's own store does the moving; its calls join the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mlflow_ext.errors import MlflowExtError, UnknownNameError
from mlflow_ext.records import Action, Decision, Transition
from mlflow_ext.registry.dossier import Dossier, PromotionRequest
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.aliases import take_over
from mlflow_ext.registry.gated.caller import current_caller
from mlflow_ext.registry.gated.governance import (
    Ruling,
    find_policy,
    policy_in,
    rule,
)
from mlflow_ext.registry.gated.guard import watch
from mlflow_ext.registry.gated.mysql import settle
from mlflow_ext.registry.gated.recording import record_free_move, record_move, record_refusal
from mlflow_ext.registry.gated.schema import prepare
from mlflow_ext.registry.gated.standing import Standing, VersionRow, read_standing
from mlflow_ext.registry.gated.transaction import (
    AHEAD,
    PERMIT,
    Moment,
    OpenSession,
    joining,
    loading_ahead,
    lock_model,
    now_ms,
    opened,
    parts_of,
    transaction,
)
from mlflow_ext.registry.policy import AT_REST, decide
from mlflow_ext.registry.rules import OPEN, STAGES, Policy
from mlflow_ext.registry.tags import STAGE

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    Upstream: Any
else:
    Upstream = object

ResultT = TypeVar("ResultT")
CAN_ARCHIVE = ("Staging", "Production")
"""The stages whose holders MLflow archives when it is asked to."""
CHOSEN = 0
"""Stands for the version that is only known once the model is held."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a request to move a version."""

    policy: str
    """Name of the policy."""
    decision: Decision
    transition: Transition | None = None
    """What was recorded; None when nothing moved, or the policy governs nothing."""
    version: ModelVersion | None = None
    """MLflow's entity afterwards; None when nothing was done."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of a version as they are now."""

    location: str
    digest: str
    """SHA-256, hex; empty when they cannot be read."""


class _FilesNeeded(Exception):  # noqa: N818 - no error: a step back
    """A decision needs the digest of files that have not been read."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


class Moves(Upstream):
    """Mixin over a SQLAlchemy registry store of MLflow's."""

    def __init__(self, db_uri: str, read_db_uri: str | None = None) -> None:
        super().__init__(db_uri, read_db_uri=read_db_uri)
        settle(self.engine)
        prepare(self.engine)  # after MLflow's tables, see mlflow_ext.registry.gated.tables
        opened: OpenSession = vars(self)["ManagedSessionMaker"]  # as MLflow has just set it
        self._open_session = opened
        self.ManagedSessionMaker = joining(self._open_session, self)
        self._locations: dict[tuple[str, str, int], str] = {}
        watch()

    @property
    def workspace(self) -> str:
        """The workspace of the request at hand."""
        return str(self._get_active_workspace())

    @contextmanager
    def reading(self, model: str = "") -> Iterator[Moment]:
        """Look at the registry in one transaction that changes nothing."""
        with opened(self._open_session, is_read_only=True) as session:
            yield self._moment(session.connection(), model)

    @contextmanager
    def holding(self, model: str, *others: str) -> Iterator[Moment]:
        """Decide about a model in one transaction, alone; MLflow's own calls inside it join."""
        with transaction(self._open_session, self) as session:
            session.info[PERMIT] = True
            connection = session.connection()
            lock_model(connection, self.workspace, model, *others)
            yield self._moment(connection, model)

    def move(self, request: PromotionRequest, is_clearing: bool = False) -> Outcome:
        """Move a version to a stage, alias and record with it, if the policy allows it.

        Args:
            request: What is asked for.
            is_clearing: Archive what is in the stage even where the policy leaves it there.

        Returns:
            The decision and what was done; a refusal is recorded and returned, not raised.

        Raises:
            MlflowException: There is no such version.
            LedgerError: A line of the ledger that matters was edited.
        """
        return self._with_files(
            request.model,
            request.version,
            lambda moment, files: self._move(moment, request, files, is_clearing),
        )

    def move_chosen(
        self, model: str, choose: Callable[[Moment], PromotionRequest | Transition]
    ) -> Outcome | Transition:
        """Move what is chosen in the very transaction that moves it, see `move`.

        Args:
            model: The registered model.
            choose: Returns what is asked for, or what was done already. It is called again when
                the files of its choice had to be read first.
        """

        def act(moment: Moment, files: Files) -> Outcome | Transition:
            chosen = choose(moment)
            if isinstance(chosen, Transition):
                return chosen
            return self._move(moment, chosen, files, is_clearing=False)

        return self._with_files(model, CHOSEN, act)

    def digest_of(self, model: str, version: int) -> str:
        """Return the SHA-256 of a version's files, hex; empty when they cannot be read."""
        with self.reading(model) as moment:
            row = self.version_row(moment, version)
        return _read_files(row.storage).digest

    def version_row(self, moment: Moment, version: int) -> VersionRow:
        """Return one version of the model as the database holds it.

        Raises:
            MlflowException: There is no such version.
        """
        standing = read_standing(moment.connection, moment.workspace, moment.model, version)
        if version not in standing.versions:
            self.get_model_version(moment.model, version)  # says so
        return standing.versions[version]

    def is_governed(
        self, session: Session, model: str, stages: tuple[str, ...], alias: str | None
    ) -> bool:
        """Tell whether the model's policy has a rule for one of *stages* or for *alias*."""
        # Not through the session itself, which must not flush while it flushes.
        policy = find_policy(self._moment(session.connection(), model))[0]
        return any(s in policy.stages for s in stages) or (
            alias is not None and policy.stage_of_alias(alias) is not None
        )

    def _get_query(self, session: Session, model: type) -> Any:
        """Return MLflow's query; see `loading_ahead`."""
        query = super()._get_query(session, model)
        return query.options(*parts_of(model)) if AHEAD in session.info else query

    def _get_registered_model(self, session: Session, name: str, eager: bool = False) -> Any:
        """Return MLflow's row of a model; see `loading_ahead`."""
        from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModel

        if AHEAD in session.info:
            return session.get(SqlRegisteredModel, (self.workspace, name))
        return super()._get_registered_model(session, name, eager)

    def _with_files(
        self, model: str, version: int, act: Callable[[Moment, Files], ResultT]
    ) -> ResultT:
        """Decide with the digest of a version's files, which are read before the lock is taken.

        Where they lie is remembered from the last time. When it is not known, or was another
        version's, the transaction ends without a trace and is taken again.
        """
        key = (self.workspace, model, version)
        while True:
            files = _read_files(self._locations.get(key, ""))
            with self.holding(model) as moment:
                try:
                    return act(moment, files)
                except _FilesNeeded as needed:
                    self._locations[key] = needed.location

    def _move(
        self, moment: Moment, request: PromotionRequest, files: Files, is_clearing: bool
    ) -> Outcome:
        model, number = request.model, request.version
        case = ledger.read_case(
            moment.connection, moment.workspace, model, number, request.to_stage
        )
        policy = policy_in(case.policy)
        known = {*STAGES, *policy.stages}
        if request.to_stage not in known:
            raise UnknownNameError("stage", request.to_stage, known, f"policy '{policy.name}'")
        standing = read_standing(moment.connection, moment.workspace, model, number)
        if number not in standing.versions:
            self.get_model_version(model, number)  # says that it is missing
        stage = standing.stage_of(number, policy)
        if standing.is_exempt(number) or not policy.stages.keys() & {stage, request.to_stage}:
            return self._move_freely(moment, policy, standing, request, is_clearing)
        if files.location != standing.versions[number].storage:
            raise _FilesNeeded(standing.versions[number].storage)
        ruling = rule(moment, case, standing, request, files.digest)
        ruling = replace(ruling, is_clearing=_is_clearing(ruling, is_clearing))
        outcome = Outcome(policy=policy.name, decision=ruling.decision)
        if request.is_dry_run:
            return outcome
        if not ruling.decision.is_allowed:
            record_refusal(moment, ruling)
            return outcome
        moved = self._carry_out(moment, ruling)
        transition = record_move(moment, ruling) if ruling.is_change else None
        return replace(outcome, transition=transition, version=moved)

    def _move_freely(
        self,
        moment: Moment,
        policy: Policy,
        standing: Standing,
        request: PromotionRequest,
        is_clearing: bool,
    ) -> Outcome:
        """Do what plain MLflow does: no policy has a word on it, but one may ask since when."""
        stage = standing.stage_of(request.version, policy)
        decision = decide(OPEN, request, Dossier(stages={request.version: stage}))
        outcome = Outcome(policy=policy.name, decision=decision)
        if request.is_dry_run:
            return outcome
        moved = super().transition_model_version_stage(
            request.model, request.version, request.to_stage, is_clearing
        )
        if not policy.stages or standing.is_exempt(request.version):
            return replace(outcome, version=moved)
        held = standing.holders(request.to_stage, policy) if is_clearing else ()
        transition = record_free_move(moment, standing, request, stage, held)
        return replace(outcome, transition=transition, version=moved)

    def _carry_out(self, moment: Moment, ruling: Ruling) -> ModelVersion:
        request = ruling.request
        take_over(moment, ruling)
        self._mark(ruling)
        with loading_ahead():
            return super().transition_model_version_stage(
                request.model,
                request.version,
                request.to_stage if request.to_stage in STAGES else "None",
                False,
            )

    def _mark(self, ruling: Ruling) -> None:
        """Name a stage that MLflow does not have in a tag, where its UI shows it."""
        from mlflow.entities.model_registry import ModelVersionTag

        asked = ruling.request
        replaced = dict.fromkeys(ruling.replaced, asked.to_stage)
        for version, stage in {**replaced, asked.version: ruling.from_stage}.items():
            if stage not in STAGES:
                super().delete_model_version_tag(asked.model, version, STAGE)
        if asked.to_stage not in STAGES:
            mark = ModelVersionTag(STAGE, asked.to_stage)  # type: ignore[no-untyped-call]
            super().set_model_version_tag(asked.model, asked.version, mark)

    def _moment(self, connection: Connection, model: str) -> Moment:
        return Moment(
            connection=connection,
            workspace=self.workspace,
            model=model,
            caller=current_caller(),
            now_ms=now_ms(),
        )


def _read_files(location: str) -> Files:
    from mlflow_ext.registry.digest import digest_location

    try:
        return Files(location=location, digest=digest_location(location) if location else "")
    except MlflowExtError:
        return Files(location=location, digest="")


def _is_clearing(ruling: Ruling, is_asked: bool) -> bool:
    stage = ruling.request.to_stage
    governed = ruling.policy.stages.get(stage)
    is_undoing = ruling.request.action is Action.ROLLBACK  # what it undoes is not to stay live
    is_alone = governed is not None and (governed.is_exclusive or is_undoing)
    return is_asked or (is_alone and stage not in AT_REST)
