"""project.yaml: the problem, stated once, as frozen dataclasses.

A team writes down what it wants to predict, why, how well, from which data and who answers for it.
Everything else (steps, gates, promotion) reads this record and nothing else, and the file itself is
logged with every run. An unknown key, a missing key, a wrong type or a contradiction is one error
that names the file, the line and the nearest known key.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import WindowError
from mlflow_ext.project.search import (
    STRICT,
    Aim,
    Choices,
    Constraint,
    CrossValidation,
    Direction,
    FloatRange,
    IntRange,
    Parameter,
    Rescore,
    Search,
    Text,
    adjust_search,
)
from mlflow_ext.settings import ContradictionError, read_settings

__all__ = [
    "STRICT",
    "Aim",
    "Choices",
    "Constraint",
    "CrossValidation",
    "Direction",
    "Features",
    "FloatRange",
    "Gates",
    "IntRange",
    "Kpi",
    "Parameter",
    "Project",
    "Promotion",
    "Rescore",
    "Search",
    "Source",
    "Split",
    "StageRule",
    "Target",
    "Text",
    "Windows",
    "adjust_search",
    "load_project",
    "month_range",
    "project_digest",
]

MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"
Month = Annotated[str, Field(pattern=MONTH_PATTERN)]
Stage = Literal["Staging", "Production"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Kpi:
    """One figure by which the model is judged."""

    metric: Text
    """A metric of `mlflow_ext.evaluation.metrics`, e.g. ``roc_auc``."""
    direction: Direction
    threshold: float
    """The holdout value that must be reached, in the unit of the metric."""
    why: Text
    """What the threshold means for the people who use the predictions."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Target:
    """What is predicted."""

    column: Text
    positive: int
    """The class whose probability is predicted."""
    definition: Text
    """How the label is computed, in words."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Source:
    """One source of data."""

    location: Text
    """A path relative to project.yaml, or ``package://NAME/PATH`` for a file inside a package."""
    licence: Text
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that must be there; others are dropped."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Split:
    """A split in time: the last months judge, the months before them choose, the rest trains."""

    first: Month
    """First month of data that is read, ``YYYY-MM``."""
    validation_months: Annotated[int, Field(ge=1)]
    holdout_months: Annotated[int, Field(ge=1)]

    def windows(self, through: str) -> Windows:
        """Cut the months from ``first`` to *through* into train, validation and holdout.

        Args:
            through: Last month of data, ``YYYY-MM``.

        Raises:
            WindowError: *through* is no month, or leaves no month to train on.
        """
        months = month_range(self.first, through)
        holdout = len(months) - self.holdout_months
        validation = holdout - self.validation_months
        if validation < 1:
            needed = _month_number(self.first) + self.validation_months + self.holdout_months
            raise WindowError(
                f"through={through} leaves no month to train on",
                f"{_month_name(needed)} or later: the data starts with {self.first}, "
                f"{self.validation_months} + {self.holdout_months} months are kept back",
                f"mlflow run . -P through={_month_name(needed)}",
            )
        return Windows(
            train=months[:validation],
            validation=months[validation:holdout],
            holdout=months[holdout:],
        )


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Months of each part of the data, ``YYYY-MM``, in order."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    holdout: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every month, first to last."""
        return self.train + self.validation + self.holdout


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Features:
    """The columns the model sees, and those it must never see."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    known_afterwards: tuple[str, ...]
    """Columns that exist only after the event: using one is leakage."""

    @property
    def names(self) -> tuple[str, ...]:
        """All features, numeric first, in a stable order."""
        return self.numeric + self.categorical

    @model_validator(mode="after")
    def _no_leak(self) -> Features:
        leaked = sorted(set(self.names) & set(self.known_afterwards))
        if leaked:
            raise ValueError(f"{leaked} are features but known only after the event")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Gates:
    """Which suites judge which table, and which gates judge the model."""

    suites: Annotated[dict[str, Text], Field(min_length=1)]
    """Table name -> suite file, relative to project.yaml."""
    model: dict[Text, dict[str, Any]] = Field(default_factory=dict)
    """Gate -> its options, beside the gates ``data`` and ``metrics``, which every model has; the
    options of ``metrics`` are the KPIs."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StageRule:
    """What a stage asks for, and the alias that moves with it."""

    requires: Annotated[tuple[str, ...], Field(min_length=1)]
    """Gates whose report must say ``passed``."""
    alias: Text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Promotion:
    """The promotion policy of one registered model."""

    model: Text
    """Name of the registered model."""
    stages: Annotated[dict[Stage, StageRule], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct_aliases(self) -> Promotion:
        aliases = [rule.alias.lower() for rule in self.stages.values()]
        if len(set(aliases)) < len(aliases):
            raise ValueError(f"two stages share one alias: {aliases}")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Project:
    """The problem as the team states it."""

    name: Text
    goal: Text
    owner: Text
    task: Literal["binary-classification"]
    unit: Text
    """The unit of decision: what one row stands for."""
    target: Target
    decision_threshold: Annotated[float, Field(gt=0, lt=1)]
    """Probability from which the positive class is predicted."""
    kpis: Annotated[tuple[Kpi, ...], Field(min_length=1)]
    sources: Annotated[dict[str, Source], Field(min_length=1)]
    time_column: Text
    split: Split
    features: Features
    slices: tuple[str, ...]
    """Columns by which the evaluation is broken down."""
    search: Search
    gates: Gates
    promotion: Promotion

    @model_validator(mode="after")
    def _target_is_no_feature(self) -> Project:
        if self.target.column in self.features.names:
            raise ValueError(f"the target '{self.target.column}' is among the features")
        return self

    @model_validator(mode="after")
    def _search_moves_as_judged(self) -> Project:
        judged = {kpi.metric: kpi.direction for kpi in self.kpis}
        for aim in self.search.aims:
            if judged.get(aim.metric, aim.direction) != aim.direction:
                raise ContradictionError(
                    f"the KPI {aim.metric} is to {judged[aim.metric]}, the search to "
                    f"{aim.direction} it",
                    "search",
                    "direction" if aim.metric == self.search.metric else "objectives",
                )
        return self


def load_project(file: Path) -> Project:
    """Read and check project.yaml.

    Args:
        file: The YAML file.

    Returns:
        The project, every value checked.

    Raises:
        ProjectFileError: The file is missing or unreadable, a key is unknown or missing, a value
            has the wrong type, or two values contradict each other.
    """
    return read_settings(Project, file)


def month_range(first: str, last: str) -> tuple[str, ...]:
    """List the months from *first* to *last*, both included.

    Raises:
        WindowError: One of them is no month.

    >>> month_range("2012-12", "2013-02")
    ('2012-12', '2013-01', '2013-02')
    """
    return tuple(map(_month_name, range(_month_number(first), _month_number(last) + 1)))


def project_digest(file: Path) -> str:
    """Return the SHA-256 of the file's parsed content: comments and layout do not count."""
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _month_number(month: str) -> int:
    if not re.fullmatch(MONTH_PATTERN, month):
        raise WindowError(
            f"'{month}' is no month", "YYYY-MM, e.g. 2013-06", "mlflow run . -P through=2013-06"
        )
    year, number = month.split("-")
    return int(year) * 12 + int(number) - 1


def _month_name(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"
