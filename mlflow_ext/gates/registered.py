"""Judge any registered version by declared gates, whoever trained it, and however."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.data.model_files import local_copy
from mlflow_ext.data.sources import locate
from mlflow_ext.errors import ModelNotFoundError
from mlflow_ext.gates.candidate import Candidate, CountAttempt, Opponent, count_none, read_labels
from mlflow_ext.gates.champion import base_rate_opponent
from mlflow_ext.gates.config import now_ms
from mlflow_ext.gates.declaration import Declaration, DeclaredModel
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.gates.scoring import Question, ask, load
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.gates.table import JudgedTable, read_judged

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

    from mlflow_ext.records import GateReport

CHAMPION_STAGE, CHAMPION_ALIAS = "Production", "champion"


@dataclass(frozen=True, kw_only=True)
class JudgeContext:
    """Where versions are registered, and who counts how often they were compared."""

    client: MlflowClient
    count_attempt: CountAttempt = count_none
    attachments: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Where gates leave their tables."""


def judge_version(
    context: JudgeContext,
    declaration: Declaration,
    model: str,
    version: int,
    files: Path | None = None,
) -> tuple[GateReport, ...]:
    """Judge a registered version by the gates that are declared for its model.

    The data is read once, and the model is loaded once. Loading a model runs its code: whoever may
    register one decides what happens in this process, unless it takes no pickles
    (``MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false``).

    Args:
        context: The registry.
        declaration: Data, target and gates, by model.
        model: Name of the registered model.
        version: Its version, from 1.
        files: A local copy of the version's files; None: it is downloaded.

    Returns:
        One report for each declared gate, in the order of the declaration. A model that cannot be
        loaded or asked leaves the gates that need it inconclusive.

    Raises:
        UnknownNameError: The model is not declared.
        ModelNotFoundError: There is no such version.
        SourceError: The data cannot be read.
        TableError: The data lacks the target.
        SuiteError: A declared suite cannot be read.
        StoreUnreachableError: The files of the version cannot be read.
    """
    declared = declaration.find(model)
    registered = _find_version(context.client, model, version)
    table = read_judged(locate(model, declared.data, declaration.file.parent))
    case = _Case(context, declared, declaration.file.parent, registered, table)
    with nullcontext(files) if files else local_copy(context.client, model, version) as copy:
        candidate = case.candidate(version, copy)
        read_labels(table.name, table.frame, candidate.label)  # without it no gate can judge
        return judge_candidate(declared.build(), candidate)


@dataclass(frozen=True, eq=False)
class _Case:
    """What the file and the registry say of a model."""

    context: JudgeContext
    declared: DeclaredModel
    folder: Path
    registered: RegisteredModel
    table: JudgedTable

    def candidate(self, version: int, files: Path) -> Candidate:
        subject = GateSubject(
            model=self.registered.name,
            version=version,
            fingerprints=self.table.fingerprints,
            rows=len(self.table.frame),
            created_ms=now_ms(),
            name=self.table.name,
        )
        return Candidate(
            subject=subject,
            files=files,
            holdout=self.table.frame,
            label=self.declared.label,
            folder=self.folder,
            read_training=self._training,
            find_opponent=self._opponent,
            count_attempt=self.context.count_attempt,
            attachments=self.context.attachments,
        )

    def _training(self) -> pd.DataFrame | None:
        if self.declared.training is None:
            return None
        return read_judged(locate("training", self.declared.training, self.folder)).frame

    def _opponent(self, candidate: Candidate) -> Opponent:
        """Find the champion; while there is none, a base rate stands in for it."""
        champion = _find_champion(self.registered, candidate.subject.version)
        if champion is None:
            known = candidate.training
            learned = None if known is None else read_labels("training", known, candidate.label)
            labels = candidate.labels if learned is None else learned
            return base_rate_opponent(labels, candidate.subject.rows)
        name = self.registered.name
        uri = f"models:/{name}/{champion}"
        with local_copy(self.context.client, name, champion) as copy:
            inputs = candidate.holdout.drop(columns=candidate.label.column)
            question = Question(inputs, candidate.label.positive)
            return Opponent(name=uri, probability=ask(load(copy, uri), uri, question))


def _find_version(client: MlflowClient, model: str, version: int) -> RegisteredModel:
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(model, str(version))
        return client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        found = client.search_model_versions(f'name = "{model}"', max_results=50)
        known = [str(other.version) for other in found]
        raise ModelNotFoundError(model, str(version), known) from None


def _find_champion(registered: RegisteredModel, version: int) -> int | None:
    """Return the version in Production, else the one called champion, unless it is *version*."""
    in_production = [
        int(latest.version)
        for latest in registered.latest_versions
        if latest.current_stage == CHAMPION_STAGE
    ]
    named = [int(v) for alias, v in registered.aliases.items() if alias.lower() == CHAMPION_ALIAS]
    return next((found for found in in_production + named if found != version), None)
