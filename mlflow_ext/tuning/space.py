"""From the search in project.yaml to parameters and to an estimator."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import SearchError, nearest, one_of
from mlflow_ext.project import Choices, FloatRange

if TYPE_CHECKING:
    import optuna

    from mlflow_ext.project import Parameter, Search


def suggest(trial: optuna.Trial, space: Mapping[str, Parameter]) -> dict[str, Any]:
    """Let *trial* choose a value for every parameter of *space*.

    Args:
        trial: The trial that asks.
        space: Parameter name -> its range.

    Returns:
        Parameter name -> value, in the order of *space*.
    """
    return {name: _suggest_one(trial, name, parameter) for name, parameter in space.items()}


def build_estimator(search: Search, params: Mapping[str, Any]) -> Any:
    """Make the estimator of *search* from its fixed arguments and *params*.

    Args:
        search: Names the class and its fixed arguments.
        params: Constructor argument -> value; goes before a fixed one of the same name.

    Returns:
        The estimator, not fitted.

    Raises:
        SearchError: There is no such class, or it does not take one of the arguments.
    """
    estimator = _load_class(search.estimator)
    arguments = {**search.fixed, **params}
    _check_arguments(search.estimator, estimator, arguments)
    return estimator(**arguments)


def check_search(search: Search) -> None:
    """Find out before a study begins whether its estimator exists and takes every argument.

    Raises:
        SearchError: There is no such class, or it does not take one of the arguments.
    """
    names = [*search.fixed, *search.space]
    _check_arguments(search.estimator, _load_class(search.estimator), names)


def _suggest_one(trial: optuna.Trial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Choices):
        return trial.suggest_categorical(name, parameter.choices)
    low, high, log = parameter.low, parameter.high, parameter.log
    if isinstance(parameter, FloatRange):
        return trial.suggest_float(name, low, high, step=parameter.step, log=log)
    return trial.suggest_int(name, parameter.low, parameter.high, step=parameter.step, log=log)


def _load_class(path: str) -> Any:
    module_name, _, class_name = path.rpartition(".")
    found = getattr(_import(module_name), class_name, None)
    if inspect.isclass(found) and hasattr(found, "fit"):
        return found
    guess = _guess_path(path)
    raise SearchError(
        f"search.estimator '{path}' names no estimator class",
        "the import path of a class with a method 'fit', such as sklearn.svm.SVC",
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


def _check_arguments(path: str, estimator: type, names: Iterable[str]) -> None:
    parameters = inspect.signature(estimator).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            guess = nearest(name, parameters)
            raise SearchError(
                f"{path} takes no argument '{name}'",
                one_of(parameters),
                f"rename '{name}' to '{guess}'" if guess else f"remove '{name}' from the search",
            )
