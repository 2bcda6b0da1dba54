"""The section ``search`` of project.yaml: what is searched, how, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import to_jsonable_python

from mlflow_ext.errors import SearchError
from mlflow_ext.settings import ContradictionError, find_mistake

STRICT = ConfigDict(extra="forbid", strict=True)
Text = Annotated[str, Field(min_length=1)]
Direction = Literal["maximize", "minimize"]
Scalar = bool | int | float | str | None
Finite = Annotated[float, Field(allow_inf_nan=False)]

# Every trial's run shows its number and how long it took as metrics of these names.
TRIAL_NUMBER, TRIAL_SECONDS = "trial", "duration_seconds"
ON_STEP = 1e-8  # so near, in steps, a value must be to a step; Optuna asks the same

# Samplers that know of constraints; the others would search where nobody wants to go.
CONSTRAINED = ("tpe", "nsga2")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Conditional:
    """A hyper-parameter that may depend on others."""

    when: dict[Text, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    """Other parameter -> the value, or values, with which this one is searched at all."""

    def is_active(self, chosen: Mapping[str, Any]) -> bool:
        """Say whether the values chosen so far call for this parameter."""
        return all(
            name in chosen and _meets(chosen[name], wanted) for name, wanted in self.when.items()
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FloatRange(Conditional):
    """A real hyper-parameter in [low, high]."""

    type: Literal["float"]
    low: Finite
    high: Finite
    log: bool = False
    step: Annotated[Finite, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> FloatRange:
        _check_range(self.low, self.high, self.log, self.step)
        return self

    def admits(self, value: Any) -> bool:
        """Say whether *value* lies in the range, and on a step where there are steps."""
        if not (_is_number(value) and self.low <= value <= self.high):
            return False
        steps: float = (value - self.low) / (self.step or math.inf)
        return abs(steps - round(steps)) < ON_STEP


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IntRange(Conditional):
    """A whole hyper-parameter in [low, high]."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _ordered(self) -> IntRange:
        _check_range(self.low, self.high, self.log, None if self.step == 1 else self.step)
        return self

    def admits(self, value: Any) -> bool:
        """Say whether *value* is a step of the range."""
        in_range = _is_number(value) and self.low <= value <= self.high
        return in_range and (value - self.low) % self.step == 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Choices(Conditional):
    """A categorical hyper-parameter."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Scalar, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Choices:
        for position, choice in enumerate(self.choices):
            is_nan = isinstance(choice, float) and math.isnan(choice)
            if is_nan or choice in self.choices[:position]:
                said = "choices that can be told apart: 1 equals 1.0 and true, nan not even itself"
                raise ContradictionError(f"{said}, found {choice}", "choices", position)
        return self

    def admits(self, value: Any) -> bool:
        """Say whether *value* is one of the choices."""
        return is_among(value, self.choices)


Parameter = Annotated[FloatRange | IntRange | Choices, Field(discriminator="type")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Aim:
    """A metric that the search moves."""

    metric: Text
    direction: Direction


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Constraint:
    """A bound that a trial must keep to be chosen."""

    metric: Text
    max: Finite | None = None
    """Most that the metric may be."""
    min: Finite | None = None
    """Least that the metric may be."""

    @model_validator(mode="after")
    def _one_bound(self) -> Constraint:
        if (self.max is None) == (self.min is None):
            raise ValueError(f"the constraint on {self.metric} needs either 'max' or 'min'")
        return self

    def excess(self, value: float) -> float:
        """Return by how much *value* misses the bound; 0 or less when it is kept.

        >>> Constraint(metric="brier", max=0.25).excess(0.5)
        0.25
        """
        return value - self.max if self.max is not None else (self.min or 0.0) - value


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CrossValidation:
    """A trial is scored on parts of the training rows in turn; the validation rows stay unseen."""

    folds: Annotated[int, Field(ge=2)]
    by_time: bool = False
    """Whether each part is scored by what came before it; else the parts are drawn at random."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rescore:
    """The best trials are fitted again, with other seeds, and scored on rows that no trial saw."""

    top: Annotated[int, Field(ge=1)] = 5
    """How many trials are scored again."""
    refits: Annotated[int, Field(ge=1)] = 3
    """Fits of each; two tell that a seed changes nothing, and then there are no more."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the validation rows, the latest of them, that is kept from the search."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Search:
    """How the estimator is tuned."""

    estimator: Text
    """Import path of a scikit-learn estimator: its class, a function that makes it, or itself."""
    space: Annotated[dict[str, Parameter], Field(min_length=1)]
    """Argument of the estimator, ``step__argument`` inside a pipeline -> its range."""
    metric: Text
    """The metric that is optimised; it chooses the winner where there are several objectives."""
    direction: Direction
    objectives: tuple[Aim, ...] = ()
    """Further metrics to optimise; the study then ends with a Pareto front."""
    constraints: tuple[Constraint, ...] = ()
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the estimator that are not searched."""
    enqueue: tuple[dict[str, Scalar], ...] = ()
    """Points that are known to be good: the first trials. What one leaves out is sampled."""
    n_trials: Annotated[int, Field(ge=1)] = 20
    timeout: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which no new trial starts; None means no limit."""
    terminator: bool = False
    """Whether to end when 30 trials that keep the constraints have brought nothing better."""
    seed: Annotated[int, Field(ge=0)] = 0
    fractions: Annotated[tuple[Finite, ...], Field(min_length=1)] = (0.1, 0.3, 1.0)
    """Growing shares of the training rows; after each one a hopeless trial is pruned."""
    warm_start: Text | None = None
    """The argument that counts iterations: ``fractions`` are then shares of it, not of the rows."""
    cv: CrossValidation | None = None
    """Score by cross-validation, one fold after the other, instead of ``fractions``."""
    rescore: Rescore | None = None
    """How the winner is found among the best trials; None: the search has the last word."""
    sampler: Literal["tpe", "random", "grid", "nsga2", "cmaes", "qmc"] = "tpe"
    pruner: Literal["median", "percentile", "hyperband", "successive_halving", "none"] = "median"
    workers: Annotated[int, Field(ge=1)] = 1
    """Processes (or Spark tasks) that run trials side by side."""
    engine: Literal["processes", "spark"] = "processes"
    storage: Text | None = None
    """URL of a database that several machines share; None means a journal file of this machine."""

    @property
    def aims(self) -> tuple[Aim, ...]:
        """Every metric that is optimised, the deciding one first."""
        return (Aim(metric=self.metric, direction=self.direction), *self.objectives)

    @model_validator(mode="after")
    def _growing(self) -> Search:
        grows = list(self.fractions) == sorted(set(self.fractions))
        if not grows or self.fractions[0] <= 0 or self.fractions[-1] != 1.0:
            raise ValueError(f"fractions {list(self.fractions)} must grow from above 0 to 1.0")
        overlap = sorted(set(self.fixed) & set(self.space))
        if overlap:
            raise ValueError(f"{overlap} are both fixed and searched")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Search:
        _check_conditions(self.space)
        _check_points(self.enqueue, self.space)
        _check_objectives(self)
        _check_sampler(self)
        _check_steps(self)
        return self


SEARCH_DEFAULTS: Mapping[str, Any] = to_jsonable_python(
    {
        name: field.get_default(call_default_factory=True)
        for name, field in Search.__pydantic_fields__.items()  # type: ignore[attr-defined]
        if not field.is_required()
    }
)
"""Field of a search -> what it is where nobody states it, as JSON gives it back."""


def adjust_search(search: Search, changes: Mapping[str, Any]) -> Search:
    """Return *search* with other values for some of its fields.

    Raises:
        SearchError: A value is none that the field takes, or contradicts another one.
    """
    try:
        return replace(search, **changes)
    except ValidationError as error:
        mistake = find_mistake(Search, error)
        fix = "give another value, or none: that of project.yaml then counts"
        raise SearchError(f"search: {mistake.found}", mistake.expected, fix) from None


def is_among(value: Any, wanted: Scalar | tuple[Scalar, ...]) -> bool:
    """Say whether *value* is what is wanted, or one of it; True is not 1 and 2.0 is not 2.

    >>> is_among(1, (True, 2)), is_among("rbf", "rbf")
    (False, True)
    """
    several = wanted if isinstance(wanted, tuple) else (wanted,)
    return any(type(value) is type(one) and value == one for one in several)


def _meets(value: Any, wanted: Scalar | tuple[Scalar, ...]) -> bool:
    """Whether *value* is what a condition wants; numbers may be written with a point or without."""
    several = wanted if isinstance(wanted, tuple) else (wanted,)
    numbers = filter(_is_number, several if _is_number(value) else ())
    return is_among(value, wanted) or any(
        math.isclose(value, number, rel_tol=1e-12) for number in numbers
    )


def _check_range(low: float, high: float, log: bool, step: float | None) -> None:
    if low >= high:
        raise ValueError(f"low {low} must be below high {high}")
    if log and low <= 0:
        raise ValueError(f"a log range needs low > 0, found {low}")
    if log and step is not None:
        raise ValueError("a log range takes no step")


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_conditions(space: Mapping[str, Parameter]) -> None:
    known: dict[str, Parameter] = {}
    for name, parameter in space.items():
        for other, wanted in parameter.when.items():
            if other not in known:
                said = f"'{other}' must be a parameter that stands above '{name}'"
                raise ContradictionError(said, "space", name, "when", other)
            values = wanted if isinstance(wanted, tuple) else (wanted,)
            if not all(known[other].admits(value) for value in values):
                said = f"values that '{other}' can take, found {list(values)}"
                raise ContradictionError(said, "space", name, "when", other)
        known[name] = parameter


def _check_points(points: tuple[dict[str, Scalar], ...], space: Mapping[str, Parameter]) -> None:
    for position, point in enumerate(points):
        for name, value in point.items():
            if name not in space or not space[name].admits(value):
                said = f"a parameter and a value of the space, found {name}: {value}"
                raise ContradictionError(said, "enqueue", position, name)


def _check_objectives(search: Search) -> None:
    metrics = [aim.metric for aim in search.aims]
    if len(set(metrics)) < len(metrics):
        raise ContradictionError(f"each metric once, found {metrics}", "objectives")
    for position, metric in enumerate(metrics):
        if metric in (TRIAL_NUMBER, TRIAL_SECONDS):
            said = f"another name: the run of each trial shows a '{metric}' of its own"
            place = ("objectives", position - 1) if position else ()
            raise ContradictionError(said, *place, "metric")
    if search.objectives and search.pruner != "none":
        said = "'none': a trial with several objectives cannot be compared half-way"
        raise ContradictionError(said, "pruner")
    if search.objectives and search.terminator:
        raise ContradictionError("false: several objectives never stop to trade", "terminator")
    if search.objectives and search.sampler == "cmaes":
        raise ContradictionError("another one: cmaes knows one objective", "sampler")
    if search.constraints and search.sampler not in CONSTRAINED:
        said = f"one of {', '.join(CONSTRAINED)}: {search.sampler} knows no constraints"
        raise ContradictionError(said, "sampler")


def _check_sampler(search: Search) -> None:
    for name, parameter in search.space.items():
        is_continuous = isinstance(parameter, FloatRange) and parameter.step is None
        if search.sampler == "grid" and is_continuous:
            said = f"'{name}' needs a step: a grid has finitely many points"
            raise ContradictionError(said, "space", name)


def _check_steps(search: Search) -> None:
    if search.warm_start and search.cv:
        raise ContradictionError("either warm_start or cv", "warm_start")
    if search.warm_start:
        counts = search.space.get(search.warm_start, search.fixed.get(search.warm_start))
        if not isinstance(counts, IntRange | int):
            said = f"a whole number among 'space' or 'fixed', found {search.warm_start}"
            raise ContradictionError(said, "warm_start")
        if isinstance(counts, IntRange) and counts.when:
            said = "no condition: every trial needs a count of iterations"
            raise ContradictionError(said, "space", search.warm_start, "when")
