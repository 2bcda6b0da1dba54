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
          champion: {metric: roc_auc, direction: maximize, margin: 0.005}
          data: {suite: expectations/holdout.json}

Paths are relative to the file. Models are binary classifiers: the metrics are those of
`mlflow_ext.evaluation.metrics`, which has none for regression.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import MlflowExtError, ProjectFileError, UnknownNameError
from mlflow_ext.gates.candidate import Label
from mlflow_ext.gates.catalog import build_gates
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT, Text
from mlflow_ext.settings import ContradictionError, read_settings

WRITE_ONE = (
    "write it as `python -m pydoc mlflow_ext.gates.declaration` shows, or name it: --config FILE"
)


def _check_gates(declared: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Refuse a gate or an option that does not exist, at its place in the file."""
    for name, options in declared.items():
        try:
            build_gates({name: options})
        except MlflowExtError as error:
            said = f"{error.found}; expected: {error.expected}; {error.fix}"
            raise ContradictionError(said, name) from None
    return declared


Gates = Annotated[dict[Text, dict[str, Any]], Field(min_length=1), AfterValidator(_check_gates)]
"""Which gates judge a model, with their options; a gate that is left out does not."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Target:
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
    target: Target
    decision_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which the positive class is predicted."""
    training: Text | None = None
    """The rows that the model has learned from, for the gates that ask; Parquet or CSV."""
    gates: Gates

    @property
    def label(self) -> Label:
        """The truth, and how it is decided."""
        return Label(**asdict(self.target), decision_threshold=self.decision_threshold)

    def build(self) -> dict[str, Gate]:
        """Set the gates up, in the order of the file."""
        return build_gates(self.gates)


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
            UnknownNameError: The file does not say.
        """
        if model not in self.models:
            raise UnknownNameError("model", model, self.models, str(self.file))
        return self.models[model]


def read_declaration(file: Path) -> Declaration:
    """Read gates.yaml.

    Raises:
        ProjectFileError: The file is missing or unreadable, a key is unknown or missing, a gate or
            one of its options does not exist, or a value has the wrong type.
    """
    if not file.exists():
        what = "a file that says how registered models are judged"
        raise ProjectFileError(file, 1, "No such file or directory", what, WRITE_ONE)
    return Declaration(file=file, models=read_settings(_GatesFile, file).models)
