"""From the search in project.yaml to parameters and to an estimator."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import SearchError, nearest, one_of
from mlflow_ext.project import Choices, FloatRange

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from mlflow_ext.project import IntRange, Parameter, Search

EXACT = 2**53  # Optuna keeps numbers as floats, and beyond this they are not all whole numbers


def suggest(trial: BaseTrial, space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Let *trial* choose a value for every parameter of *space* whose conditions hold.

    Args:
        trial: The trial that asks.
        space: Parameter name -> its range; a condition names parameters above it.

    Returns:
        Parameter name -> value, in the order of *space*.
    """
    chosen: dict[str, Any] = {}
    for name, parameter in space.items():
        if parameter.is_active(chosen):
            chosen[name] = _suggest_one(trial, name, parameter)
    return chosen


def is_whole(params: Mapping[str, Any], space: Mapping[str, Parameter]) -> bool:
    """Say whether *params* holds a value for every parameter of *space* whose conditions hold."""
    return params.keys() == {name for name, one in space.items() if one.is_active(params)}


def fit_point(point: Mapping[str, Any], space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the part of *point* that lies in *space*; it may come from another search.

    Args:
        point: Parameter name -> value, or its text as MLflow keeps it.
        space: The space.
    """
    read = {name: _read_value(point[name], one) for name, one in space.items() if name in point}
    return {name: value for name, value in read.items() if space[name].admits(value)}


def build_estimator(search: Search, params: Mapping[str, Any]) -> Any:
    """Make the estimator of *search* from its fixed arguments and *params*.

    Args:
        search: Names the estimator and its fixed arguments.
        params: Argument, or ``step__argument`` -> value; goes before a fixed one of the same name.

    Returns:
        The estimator, not fitted.

    Raises:
        SearchError: There is no such estimator, or it does not take one of the arguments.
    """
    source = _load(search.estimator)
    arguments = {**search.fixed, **params}
    own = {name: value for name, value in arguments.items() if _is_own(source, name)}
    _check_own(search.estimator, source, own)
    estimator = _make(search.estimator, source, own)
    nested = {name: arguments[name] for name in arguments.keys() - own.keys()}
    if nested:
        known = estimator.get_params() if hasattr(estimator, "get_params") else ()
        _check_names(search.estimator, nested, known)
        estimator.set_params(**nested)
    return estimator


def check_search(search: Search) -> None:
    """Find out before a study begins whether its estimator exists and can be searched that way.

    Raises:
        SearchError: There is no such estimator, it does not take one of the arguments, or it cannot
            go on from an earlier fit although ``warm_start`` asks for that; or a range is too wide.
    """
    for name, parameter in search.space.items():
        _check_width(name, parameter)
    first = {name: _first_value(one) for name, one in search.space.items()}
    estimator = build_estimator(search, first)
    if search.warm_start:
        go_on_to(estimator, search.warm_start, 1)


def go_on_to(model: Any, argument: str, count: int) -> Any:
    """Return *model*, or what it is made of, with a ``fit`` that goes on until *count* iterations.

    Args:
        model: A model whose estimator, however deep inside, takes ``warm_start``.
        argument: The estimator's argument that counts iterations.
        count: Iterations in all.

    Returns:
        What to fit next; what cuts probabilities would fit a copy from the start again.

    Raises:
        SearchError: Nothing inside *model* takes both, or it counts each fit by itself.
    """
    known = model.get_params() if hasattr(model, "get_params") else {}
    paths = [name for name in known if name == argument or name.endswith(f"__{argument}")]
    last = argument.rpartition("__")[2]
    owners = {name: name.removesuffix(last) for name in paths}
    able = sorted((name for name in paths if f"{owners[name]}warm_start" in known), key=len)
    if not able:
        said = f"cannot go on from an earlier fit with more '{argument}'"
        raise _no_going_on(model, said, "takes 'warm_start'")
    if able[0].startswith("estimator__") and hasattr(model, "estimator_"):
        return go_on_to(model.estimator_, argument, count)
    owner = owners[able[0]]
    _check_counts_all(known[owner.removesuffix("__")] if owner else model, last)
    return model.set_params(**{able[0]: count, f"{owner}warm_start": True})


def _check_counts_all(estimator: Any, argument: str) -> None:
    # What learns bit by bit or improves its weights (``sparsify`` is what linear models have) runs
    # so many iterations again; what is built of parts adds those that are missing.
    if hasattr(type(estimator), "partial_fit") or hasattr(type(estimator), "sparsify"):
        said = f"counts '{argument}' anew in each fit, so that more are done than one fit would"
        raise _no_going_on(estimator, said, "counts all that it has done")


def _no_going_on(model: Any, said: str, wanted: str) -> SearchError:
    return SearchError(
        f"{type(model).__name__} {said}",
        f"an estimator that {wanted}, such as a forest or gradient boosting",
        "leave 'warm_start' out of the search: rows are then what grows",
    )


def _check_width(name: str, parameter: Parameter) -> None:
    if isinstance(parameter, Choices) or _can_draw(parameter):
        return
    raise SearchError(
        f"search.space.{name} from {parameter.low} to {parameter.high} is too wide to draw from",
        "whole numbers from -2**53 to 2**53, or real ones less than 1.8e308 apart with at most "
        "2**53 steps",
        "narrow it, or widen its 'step'",
    )


def _can_draw(numbers: FloatRange | IntRange) -> bool:
    if not isinstance(numbers, FloatRange):
        return numbers.low >= -EXACT and numbers.high <= EXACT
    width, step = numbers.high - numbers.low, numbers.step or 0.0
    return math.isfinite(width + step) and width <= EXACT * (step or math.inf)


def _first_value(parameter: Parameter) -> Any:
    return parameter.choices[0] if isinstance(parameter, Choices) else parameter.low


def _suggest_one(trial: BaseTrial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Choices):
        return trial.suggest_categorical(name, parameter.choices)
    low, high, log = parameter.low, parameter.high, parameter.log
    if isinstance(parameter, FloatRange):
        return trial.suggest_float(name, low, high, step=parameter.step, log=log)
    return trial.suggest_int(name, parameter.low, parameter.high, step=parameter.step, log=log)


def _read_value(value: Any, parameter: Parameter) -> Any:
    """Turn text back into a value of *parameter*; what cannot be one stays as it is."""
    if isinstance(parameter, Choices):
        return next((choice for choice in parameter.choices if str(choice) == str(value)), value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return number if isinstance(parameter, FloatRange) or number % 1 else int(number)


def _load(path: str) -> Any:
    """Find what *path* names: a class, a function that makes an estimator, or an estimator."""
    module_name, _, name = path.rpartition(".")
    found = getattr(_import(module_name), name, None)
    if hasattr(found, "fit") or inspect.isfunction(found):
        return found
    raise _no_estimator(path)


def _make(path: str, source: Any, arguments: Mapping[str, Any]) -> Any:
    if inspect.isclass(source):
        return source(**arguments)
    if not inspect.isfunction(source):
        from sklearn.base import clone

        return clone(source)
    try:
        made = source(**arguments)
    except TypeError as error:
        raise _no_estimator(path) from error
    if hasattr(made, "fit"):
        return made
    raise _no_estimator(path)


def _is_own(source: Any, name: str) -> bool:
    """Whether the argument makes the estimator; others are set on it, or inside it."""
    return "__" not in name and (inspect.isclass(source) or inspect.isfunction(source))


def _no_estimator(path: str) -> SearchError:
    guess = _guess_path(path)
    return SearchError(
        f"search.estimator '{path}' names no estimator",
        "the import path of a class with a method 'fit', such as sklearn.svm.SVC, of a function "
        "that returns one, or of an estimator",
        f"write '{guess}' in project.yaml" if guess else "correct the path in project.yaml",
    )


def _import(module: str) -> ModuleType | None:
    """Import *module*; None when there is none, an error when it is there but broken."""
    if not _is_module(module):
        return None
    try:
        return importlib.import_module(module)
    except ImportError as error:
        found = f"the module '{module}' of search.estimator does not import: {error}"
        raise SearchError(found, "a module that imports", f"python -c 'import {module}'") from error


def _is_module(name: str) -> bool:
    try:
        return bool(name) and find_spec(name) is not None
    except (ImportError, ValueError):  # a parent is missing, or the name is no name
        return False


def _guess_path(path: str) -> str | None:
    """Follow *path* as far as it leads, taking the nearest name wherever it is wrong."""
    package, *parts = path.split(".")
    found = package
    for part in parts[:-1]:
        found = f"{found}.{_near(part, _submodules(found))}"
    module = _import(found) if parts else None
    estimators = [name for name, value in vars(module or object).items() if hasattr(value, "fit")]
    guess = nearest(path.rpartition(".")[2], estimators)
    return f"{found}.{guess}" if guess else None


def _near(part: str, known: list[str]) -> str:
    return part if part in known else nearest(part, known) or part


def _submodules(package: str) -> list[str]:
    spec = find_spec(package) if _is_module(package) else None
    folders = spec.submodule_search_locations if spec else None
    return [module.name for module in pkgutil.iter_modules(folders)] if folders else []


def _check_own(path: str, source: Any, names: Collection[str]) -> None:
    if names:
        parameters = inspect.signature(source).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            _check_names(path, names, parameters)


def _check_names(path: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            guess = nearest(name, known)
            raise SearchError(
                f"{path} takes no argument '{name}'",
                one_of(known),
                f"rename '{name}' to '{guess}'" if guess else f"remove '{name}' from the search",
            )
