"""The version before its judges: whatever a gate may look at, each thing read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as strict_dataclass

from mlflow_ext.errors import TableError, nearest, one_of
from mlflow_ext.evaluation.predictions import Array, Predictions
from mlflow_ext.gates.scoring import Question, ask, load, read_metadata, select_inputs
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.project import STRICT, Text

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel

    from mlflow_ext.records import GateReport


@strict_dataclass(frozen=True, kw_only=True, config=STRICT)
class Label:
    """Where the truth stands, and how it is decided."""

    column: Text
    positive: int | str = 1
    """The class whose probability is judged, as it is written in the column."""
    decision_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which the positive class is predicted."""


CountAttempt = Callable[[str, str, str], int]
"""(model, fingerprint of the holdout, what is compared) -> number of the attempt, from 1."""


def count_none(model: str, holdout: str, identity: str) -> int:
    """Count every comparison as the first: nobody remembers the others."""
    return 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Opponent:
    """What the challenger has to measure up to."""

    name: str
    """``models:/NAME/VERSION`` of the champion, or what stands in for it."""
    probability: Array
    """Its probabilities, shape (rows,), in [0, 1]: in the order of the challenger's rows, or of
    *keys*."""
    keys: Array | None = None
    """What names the row of each probability, shape (rows,), where they were made elsewhere."""
    seen: tuple[str, ...] = ()
    """Parts of these rows that it has learned from or was chosen on, e.g. months; best if none."""
    is_baseline: bool = False
    """True when no version is in Production and a naive rule stands in: it has to be beaten."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """A version, its files, and the rows that judge it."""

    subject: GateSubject
    """Model, version, fingerprint of the holdout."""
    files: Path
    """Local folder with the version's ``MLmodel``."""
    holdout: pd.DataFrame
    """Rows that it must never have learned from: inputs, target, and what they are sliced by."""
    label: Label
    folder: Path = Path()
    """What relative paths in the options of a gate are relative to."""
    read_training: Callable[[], pd.DataFrame | None] = field(default=lambda: None)
    """Reads the rows that it has learned from; None where nobody says which they are."""
    find_opponent: Callable[[Candidate], Opponent | None] = field(default=lambda _: None)
    """Finds what it is measured against: the version in Production, asked about the same rows."""
    count_attempt: CountAttempt = count_none
    """Counts comparisons on a holdout; the same one keeps its number."""
    table_reports: tuple[GateReport, ...] = ()
    """What the gate ``expectations`` has said about the tables that it was trained from."""
    attachments: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Tables that gates leave here beside their checks, by name, for whoever logs the reports."""

    @cached_property
    def training(self) -> pd.DataFrame | None:
        """The rows that it has learned from, with the target; None where nobody says which."""
        return self.read_training()

    @cached_property
    def opponent(self) -> Opponent | None:
        """What it is measured against; None where there is nothing."""
        return self.find_opponent(self)

    @cached_property
    def metadata(self) -> Model:
        """What its ``MLmodel`` says, signature and flavors; reading it runs no code of the model.

        Raises:
            UnusableModelError: There is none, or it cannot be read.
        """
        return read_metadata(self.files, self.subject.uri)

    def attempt(self, identity: str) -> int:
        """Return the number of a comparison among all on this holdout, from 1, and count it.

        Args:
            identity: Digest of what is compared.
        """
        return self.count_attempt(self.subject.model, self.subject.holdout, identity)

    @cached_property
    def model(self) -> PyFuncModel:
        """The loaded model.

        Raises:
            UnusableModelError: It cannot be loaded.
        """
        return load(self.files, self.subject.uri)

    @cached_property
    def labels(self) -> Array:
        """Shape (rows,): 1 where a row of the holdout is of the positive class, else 0.

        Raises:
            TableError: There is no such column, a label is missing, or the class never occurs.
        """
        return read_labels(self.subject.name, self.holdout, self.label)

    @cached_property
    def predictions(self) -> Predictions:
        """What the model says about the holdout.

        Raises:
            TableError: The labels, or the probabilities, cannot be used.
            UnusableModelError: The model cannot be loaded or asked.
        """
        labels, probability = self.labels, self.score(self.holdout)
        return Predictions(self.subject.name, labels, probability, self.label.decision_threshold)

    def score(self, rows: pd.DataFrame) -> Array:
        """Ask the model; shape (rows,), the probability of the positive class.

        Args:
            rows: Inputs; the target and whatever else the signature does not name are left out.

        Raises:
            UnusableModelError: It cannot be loaded, needs other columns, or fails.
        """
        inputs = self._without_target(rows)
        return ask(self.model, self.subject.uri, Question(inputs, self.label.positive))

    def select_inputs(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of *rows* that the model is asked with, as its signature wants them.

        Raises:
            TableError: There are no rows.
            UnusableModelError: It needs a column that is not there.
        """
        if rows.empty:
            raise TableError(self.subject.name, "no rows", "at least one", "add rows to the data")
        return select_inputs(self.metadata, self.subject.uri, self._without_target(rows))

    def _without_target(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows.drop(columns=self.label.column, errors="ignore")


def read_labels(table: str, frame: pd.DataFrame, label: Label) -> Array:
    """Return 1 where the row is of the positive class, else 0; shape (rows,).

    Raises:
        TableError: There is no such column, a label is missing, or the class never occurs.
    """
    if label.column not in frame:
        guess = nearest(label.column, frame.columns)
        fix = f"write '{guess}' as the target's column" if guess else "correct the target's column"
        found = f"it has no column '{label.column}'"
        raise TableError(table, found, one_of(list(frame.columns)), fix)
    truth = frame[label.column]
    if truth.isna().any():
        found = f"'{label.column}' is missing in {truth.isna().sum()} of {len(truth)} rows"
        raise TableError(table, found, "the truth in every row", "drop rows without a label")
    labels: Array = (truth == label.positive).to_numpy(dtype=int)
    if not labels.any():
        found = f"'{label.column}' is never {label.positive!r}"
        fix = "correct the target's positive class, or the data"
        raise TableError(table, found, one_of({repr(v) for v in truth.unique()[:9]}), fix)
    return labels
