"""gates.yaml: how registered models are judged by whoever did not train them.

::

    models:
      flight-delay:
        data: holdout.parquet
        target: {column: late, positive: 1}
        gates:
          metrics:
            kpis:
              - {metric: roc_auc, direction: maximize, threshold: 0.7, why: "..."}
          champion: {metric: roc_auc, direction: maximize, tolerance: 0.005}
          data: {suite: expectations/holdout.json}

Paths are relative to the file. Models are binary classifiers: the metrics are those of
`mlflow_ext.evaluation.metrics`, which has none for regression.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import ProjectFileError, UnknownNameError
from mlflow_ext.evaluation.metrics import check_direction
from mlflow_ext.project import STRICT, ChampionGate, Kpi, Text
from mlflow_ext.settings import read_settings

WRITE_ONE = (
    "write it as `python -m pydoc mlflow_ext.gates.declaration` shows, or name it: --config FILE"
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MetricsGate:
    """Configuration of the gate ``metrics``."""

    kpis: Annotated[tuple[Kpi, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataGate:
    """Configuration of the gate ``data``."""

    suite: Text
    """A suite of expectations for the rows that judge the model."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeclaredGates:
    """Which gates judge the model; each is left out or set."""

    data: DataGate | None = None
    metrics: MetricsGate | None = None
    champion: ChampionGate | None = None

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """Every metric that is asked for, and where it should go."""
        champion = (self.champion,) if self.champion else ()
        asked = (*(self.metrics.kpis if self.metrics else ()), *champion)
        return tuple((one.metric, one.direction) for one in asked)

    @model_validator(mode="after")
    def _one_at_least(self) -> DeclaredGates:
        if not (self.data or self.metrics or self.champion):
            raise ValueError("data, metrics or champion: no gate judges nothing")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Label:
    """Where the truth stands."""

    column: Text
    positive: int | str = 1
    """The class whose probability is judged, as it is written in the column."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeclaredModel:
    """How one registered model is judged."""

    data: Text
    """The rows that judge it, which it must never have learned from: Parquet or CSV. Their columns
    are the model's inputs and the target."""
    target: Label
    decision_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which the positive class is predicted."""
    gates: DeclaredGates


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _GatesFile:
    models: Annotated[dict[Text, DeclaredModel], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A file of declared gates, and where it lies."""

    file: Path
    models: dict[str, DeclaredModel]

    def find(self, model: str) -> DeclaredModel:
        """Return how *model* is judged.

        Raises:
            UnknownNameError: The file does not say, or it names a metric that does not exist.
            DirectionError: A gate contradicts the direction of its metric.
        """
        if model not in self.models:
            raise UnknownNameError("model", model, self.models, str(self.file))
        found = self.models[model]
        for metric, direction in found.gates.directions:
            check_direction(metric, direction)
        return found


def read_declaration(file: Path) -> Declaration:
    """Read gates.yaml.

    Raises:
        ProjectFileError: The file is missing or unreadable, a key is unknown or missing, or a value
            has the wrong type.
    """
    if not file.exists():
        what = "a file that says how registered models are judged"
        raise ProjectFileError(file, 1, "No such file or directory", what, WRITE_ONE)
    return Declaration(file=file, models=read_settings(_GatesFile, file).models)
