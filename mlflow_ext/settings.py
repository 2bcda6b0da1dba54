"""A YAML file read into a frozen dataclass; a mistake is told with its line and the nearest key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from mlflow_ext.errors import ProjectFileError, nearest, one_of

SettingsT = TypeVar("SettingsT")
UNKNOWN_KEY = "unexpected_keyword_argument"  # pydantic's name for it, in dataclasses
MISSING_KEY = ("missing", "missing_argument", "missing_keyword_only_argument")
UNION_TAGS = ("float", "int", "categorical")  # pydantic puts them into the path of an error


class ContradictionError(ValueError):
    """Raised by a validator for values that do not go together.

    Args:
        message: What should be there instead.
        location: Keys and positions that lead to the value to mend.
    """

    def __init__(self, message: str, *location: int | str) -> None:
        super().__init__(message)
        self.location = location


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One value that does not fit."""

    location: tuple[int | str, ...]
    """Keys and positions that lead to it."""
    found: str
    expected: str
    fix: str = ""
    """The edit that mends it, where one is known."""


def read_settings(kind: type[SettingsT], file: Path) -> SettingsT:
    """Read a YAML file into the pydantic dataclass *kind*, strictly.

    Args:
        kind: A frozen dataclass that forbids unknown keys.
        file: The YAML file.

    Raises:
        ProjectFileError: The file cannot be read, or does not fit *kind*; an unknown key is told
            before whatever it left missing.
    """
    root, values = _load(file)
    try:
        return validate(kind, values)
    except ValidationError as error:
        mistake = find_mistake(kind, error)
        line = _line(root, mistake.location)
        raise ProjectFileError(file, line, mistake.found, mistake.expected, mistake.fix) from None


def validate(kind: type[SettingsT], values: Any) -> SettingsT:
    """Turn plain *values* into the pydantic dataclass *kind*, strictly.

    Raises:
        pydantic.ValidationError: They do not fit; `find_mistake` puts it into words.
    """
    # As JSON, so that strict means: text becomes an enum, a list a tuple, and nothing else.
    text = json.dumps(values, default=str)  # YAML reads a bare date as one; we declare text
    return TypeAdapter(kind).validate_json(text, strict=True)


def find_mistake(kind: type[Any], error: ValidationError) -> Mistake:
    """Say the first thing that is wrong; an unknown key before whatever it left missing."""
    first = min(error.errors(), key=lambda e: e["type"] != UNKNOWN_KEY)
    cause = first.get("ctx", {}).get("error")
    location = tuple(part for part in first["loc"] if part not in UNION_TAGS)
    if isinstance(cause, ContradictionError):
        location += cause.location
    where = ".".join(map(str, location)) or "the document"
    if first["type"] == UNKNOWN_KEY:
        return _unknown_key(location, where, _known_keys(_schema(kind), location[:-1]))
    if first["type"] in MISSING_KEY:
        return Mistake(
            location=location,
            found=f"missing key '{where}'",
            expected="a value",
            fix=f"add '{location[-1]}:'",
        )
    shown = "" if first["type"] == "value_error" else f" is {first['input']!r}"
    message = first["msg"].removeprefix("Value error, ")
    return Mistake(location=location, found=f"'{where}'{shown}", expected=message)


def _unknown_key(location: tuple[int | str, ...], where: str, known: list[str]) -> Mistake:
    key = str(location[-1])
    guess = nearest(key, known)
    return Mistake(
        location=location,
        found=f"unknown key '{where}'",
        expected=one_of(known),
        fix=f"rename it to '{guess}'" if guess else f"remove '{key}'",
    )


def _load(file: Path) -> tuple[yaml.Node, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        root, values = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        raise ProjectFileError(file, 1, str(error.strerror), "a readable file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProjectFileError(file, line, f"not YAML: {error.problem}", "valid YAML") from None
    if root is None:
        raise ProjectFileError(file, 1, "the file is empty", "keys and values")
    for key in _repeated_keys(root):
        line = key.start_mark.line + 1
        raise ProjectFileError(file, line, f"'{key.value}' stands there twice", "each key once")
    return root, values


def _repeated_keys(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield what YAML would quietly let win over an earlier entry."""
    if isinstance(node, yaml.MappingNode):
        names = [str(key.value) for key, _ in node.value]
        yield from (key for n, (key, _) in enumerate(node.value) if names[n] in names[:n])
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        for entry in node.value:
            yield from _repeated_keys(entry[1] if isinstance(entry, tuple) else entry)


def _line(root: yaml.Node, location: tuple[int | str, ...]) -> int:
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
        # A validator may have changed the case of a key.
        alike = [entry for entry in node.value if str(entry[0].value).lower() == str(part).lower()]
        return min(alike, key=lambda entry: entry[0].value != str(part), default=None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _schema(kind: type[Any]) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema()


def _known_keys(schema: dict[str, Any], location: tuple[int | str, ...]) -> list[str]:
    """Keys that may stand at *location*."""
    node = schema
    for part in location:
        node = _resolve(schema, node)
        named = node.get("properties", {}).get(part)
        node = named or node.get("items") or node.get("additionalProperties") or {}
    return sorted(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow references; a choice between kinds offers what any of them does."""
    options = node.get("oneOf") or node.get("anyOf")
    if options:
        found = [_resolve(schema, option) for option in options]
        keys = {key: value for part in found for key, value in part.get("properties", {}).items()}
        return {key: value for part in found for key, value in part.items()} | {"properties": keys}
    if "$ref" in node:
        target: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return target
    return node
