"""Every gate there is: one module each in this folder, and those that other distributions bring."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from pydantic import ValidationError

import mlflow_ext.gates
from mlflow_ext.errors import GateConfigError, UnknownNameError
from mlflow_ext.gates.interface import Gate
from mlflow_ext.settings import find_mistake, validate

GROUP = "mlflow_ext.gates"


def find_gate(name: str) -> type[Gate]:
    """Return the gate of that name: one of ours, else one that another distribution brings.

    Raises:
        UnknownNameError: There is none.
    """
    own = _own_gate(name) if name in _own_modules() else None
    if own is not None:
        return own
    for point in entry_points(group=GROUP, name=name):
        brought: type[Gate] = point.load()
        return brought
    raise UnknownNameError("gate", name, known_gates())


@cache
def known_gates() -> frozenset[str]:
    """Return the name of every gate."""
    own = {name for name in _own_modules() if _own_gate(name)}
    return frozenset(own | entry_points(group=GROUP).names)


def build_gate(name: str, options: Mapping[str, Any]) -> Gate:
    """Set a gate up.

    Args:
        name: Its name.
        options: Its options, as they are written in YAML.

    Raises:
        UnknownNameError: There is no such gate.
        GateConfigError: It has no such option, lacks one, or one has a wrong value.
    """
    kind = find_gate(name)
    try:
        return validate(kind, options)
    except ValidationError as error:
        mistake = find_mistake(kind, error)
        raise GateConfigError(name, mistake.found, mistake.expected, mistake.fix) from None


def build_gates(declared: Mapping[str, Mapping[str, Any]]) -> dict[str, Gate]:
    """Set several gates up, in the order in which they are declared. Errors as of `build_gate`."""
    return {name: build_gate(name, options) for name, options in declared.items()}


def _own_modules() -> set[str]:
    return {m.name for m in pkgutil.iter_modules(mlflow_ext.gates.__path__) if m.name[0] != "_"}


def _own_gate(name: str) -> type[Gate] | None:
    """Return the gate that a module of ours defines; not every one does."""
    module = import_module(f"{mlflow_ext.gates.__name__}.{name}")
    return next((found for found in vars(module).values() if _is_gate(found, module)), None)


def _is_gate(found: Any, module: ModuleType) -> bool:
    is_own = isinstance(found, type) and found.__module__ == module.__name__
    return is_own and issubclass(found, Gate) and found is not Gate
