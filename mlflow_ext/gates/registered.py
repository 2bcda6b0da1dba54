"""Judge any registered version by declared gates, whoever trained it, and however."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_ext.data.model_files import local_copy
from mlflow_ext.data.sources import locate
from mlflow_ext.errors import ModelNotFoundError, TableError, nearest, one_of
from mlflow_ext.evaluation.metrics import score_of
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.gates.champion import Opponent, base_rate_opponent, judge_champion
from mlflow_ext.gates.config import now_ms
from mlflow_ext.gates.data import judge_data
from mlflow_ext.gates.declaration import Declaration, DeclaredModel, Label
from mlflow_ext.gates.expectations import run_suite
from mlflow_ext.gates.metrics import judge_metrics
from mlflow_ext.gates.scoring import Question, score
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.gates.table import JudgedTable, read_judged

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

    from mlflow_ext.evaluation.predictions import Array
    from mlflow_ext.records import GateReport

CHAMPION_STAGE, CHAMPION_ALIAS = "Production", "champion"


def judge_version(
    client: MlflowClient,
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
        client: The registry.
        declaration: Data, target and gates, by model.
        model: Name of the registered model.
        version: Its version, from 1.
        files: A local copy of the version's files; None: it is downloaded.

    Returns:
        One report for each declared gate, in the order data, metrics, champion.

    Raises:
        UnknownNameError: The model is not declared.
        ModelNotFoundError: There is no such version.
        SourceError: The data cannot be read.
        SuiteError: The suite cannot be read or does not fit.
        TableError: The data lacks the target, or cannot be scored.
        StoreUnreachableError: The files of the version, or of the champion, cannot be read.
        UnusableModelError: The one or the other cannot be loaded or asked.
    """
    declared = declaration.find(model)
    registered = _find_version(client, model, version)
    folder = declaration.file.parent
    case = _Case(
        client=client,
        declared=declared,
        folder=folder,
        registered=registered,
        version=version,
        table=read_judged(locate(model, declared.data, folder)),
        files=files,
    )
    return tuple(case.judge())


@dataclass(frozen=True, eq=False, kw_only=True)
class _Case:
    """One version before its judges."""

    client: MlflowClient
    declared: DeclaredModel
    folder: Path
    registered: RegisteredModel
    version: int
    table: JudgedTable
    files: Path | None

    def judge(self) -> Iterator[GateReport]:
        gates = self.declared.gates
        if gates.data:
            yield self._judge_data(self.folder / gates.data.suite)
        if gates.metrics:
            kpis = gates.metrics.kpis
            observed = {kpi.metric: score_of(kpi.metric, self.challenger) for kpi in kpis}
            yield judge_metrics(kpis, observed, self.subject)
        if gates.champion:
            yield judge_champion(gates.champion, self.challenger, self._opponent(), self.subject)

    @cached_property
    def subject(self) -> GateSubject:
        return GateSubject(
            model=self.registered.name,
            version=self.version,
            fingerprints=self.table.fingerprints,
            rows=len(self.table.frame),
            created_ms=now_ms(),
        )

    @cached_property
    def challenger(self) -> Predictions:
        labels = _labels(self.table, self.declared.target)
        probability = self._score(self.version, self.files)
        return Predictions(self.table.name, labels, probability, self.declared.decision_threshold)

    def _judge_data(self, suite: Path) -> GateReport:
        name, fingerprints = self.table.name, self.table.fingerprints
        result = run_suite(suite, self.table.frame, table=name, fingerprints=fingerprints)
        return judge_data(
            [result.report],
            model=self.registered.name,
            version=self.version,
            fingerprints=fingerprints,
        )

    def _opponent(self) -> Opponent:
        """Find the champion; while there is none, the best constant there is stands in for it."""
        champion = _find_champion(self.registered, self.version)
        if champion is None:
            return base_rate_opponent(self.challenger.labels, self.challenger.rows)
        return Opponent(name=self._uri(champion), probability=self._score(champion))

    def _score(self, version: int, files: Path | None = None) -> Array:
        target = self.declared.target
        question = Question(self.table.frame.drop(columns=target.column), target.positive)
        name = self.registered.name
        with nullcontext(files) if files else local_copy(self.client, name, version) as copy:
            return score(copy, self._uri(version), question)

    def _uri(self, version: int) -> str:
        return f"models:/{self.registered.name}/{version}"


def _labels(table: JudgedTable, target: Label) -> Array:
    """Return 1 where the row is of the positive class, else 0."""
    if target.column not in table.frame:
        guess = nearest(target.column, table.frame.columns)
        fix = f"write '{guess}' as the target's column" if guess else "correct the target's column"
        found = f"it has no column '{target.column}'"
        raise TableError(table.name, found, one_of(list(table.frame.columns)), fix)
    truth = table.frame[target.column]
    if truth.isna().any():
        found = f"'{target.column}' is missing in {truth.isna().sum()} of {len(truth)} rows"
        raise TableError(table.name, found, "the truth in every row", "drop rows without a label")
    labels: Array = (truth == target.positive).to_numpy(dtype=int)
    if not labels.any():
        found = f"'{target.column}' is never {target.positive!r}"
        fix = "correct the target's positive class, or the data"
        raise TableError(table.name, found, one_of({repr(v) for v in truth.unique()[:9]}), fix)
    return labels


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
