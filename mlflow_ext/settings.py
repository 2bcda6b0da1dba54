"""A YAML file read into a frozen dataclass; a mistake is told with its line and the nearest key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from mlflow_ext.errors import MlflowExtError, ProjectFileError, nearest, one_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SettingsT = TypeVar("SettingsT")
UNKNOWN_KEY = "unexpected_keyword_argument"  # pydantic's name for it, in dataclasses
UNION_TAGS = ("float", "int", "categorical")  # pydantic puts them into the path of an error


def read_settings(kind: type[SettingsT], file: Path) -> SettingsT:
    """Read a YAML file into the pydantic dataclass *kind*, strictly.

    Args:
        kind: A frozen dataclass that forbids unknown keys.
        file: The YAML file.

    Raises:
        ProjectFileError: The file cannot be read, or does not fit *kind*; an unknown key is told
            before whatever it left missing.
    """
    root = _compose(file)
    adapter = TypeAdapter(kind)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        return adapter.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != UNKNOWN_KEY)
        raise _tell(file, root, first, adapter.json_schema()) from None


def _compose(file: Path) -> yaml.Node:
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ProjectFileError(file, 1, str(error.strerror), "a readable file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProjectFileError(file, line, f"not YAML: {error.problem}", "valid YAML") from None
    if root is None:
        raise ProjectFileError(file, 1, "the file is empty", "keys and values")
    return root


def _tell(
    file: Path, root: yaml.Node, error: ErrorDetails, schema: dict[str, Any]
) -> MlflowExtError:
    location = [part for part in error["loc"] if part not in UNION_TAGS]
    kind, key = error["type"], str(location[-1]) if location else file.name
    where = ".".join(map(str, location)) or "the file"
    line = _line(root, location)
    if kind == UNKNOWN_KEY:
        known = _known_keys(schema, location[:-1])
        guess = nearest(key, known)
        fix = f"rename it to '{guess}'" if guess else f"remove '{key}'"
        return ProjectFileError(file, line, f"unknown key '{where}'", one_of(known), fix)
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return ProjectFileError(file, line, f"missing key '{where}'", "a value", f"add '{key}:'")
    message = error["msg"].removeprefix("Value error, ")
    found = f"'{where}' is {error['input']!r}" if kind != "value_error" else f"'{where}'"
    return ProjectFileError(file, line, found, message)


def _line(root: yaml.Node, location: list[int | str]) -> int:
    """Line of the deepest node on the way to *location* that the file really has."""
    node, line = root, root.start_mark.line
    for part in location:
        entry = _child(node, part)
        if entry is None:
            break
        key, node = entry
        line = key.start_mark.line
    return line + 1


def _child(node: yaml.Node, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _known_keys(schema: dict[str, Any], location: list[int | str]) -> list[str]:
    """Keys that may stand at *location*."""
    node = schema
    for part in location:
        node = _resolve(schema, node)
        named = node.get("properties", {}).get(part)
        node = named or node.get("items") or node.get("additionalProperties") or {}
    return sorted(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    options = node.get("oneOf")
    if options:
        merged = [_resolve(schema, option).get("properties", {}) for option in options]
        return {"properties": {key: value for part in merged for key, value in part.items()}}
    if "$ref" in node:
        found: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return found
    return node
