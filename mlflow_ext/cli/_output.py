"""How a command answers: one document to stdout, words to stderr, yes or no as the exit code."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import click

FORMATS = ("table", "json")
FORMAT_KEY = "mlflow_ext.format"
WIDEST = 72  # characters of one cell; JSON holds everything


def choose_format(ctx: click.Context, _parameter: click.Parameter, value: str) -> None:
    """Remember the value of ``--format`` for `emit`."""
    ctx.meta[FORMAT_KEY] = value


def say(words: str) -> None:
    """Write *words* for the person at the terminal to stderr."""
    click.echo("\n".join(map(_shown, words.splitlines())), err=True)


def emit(
    document: Mapping[str, Any], *, is_yes: bool = True, only_json: Collection[str] = ()
) -> NoReturn:
    """Write *document* to stdout and end the command.

    Args:
        document: JSON values; the keys are the row titles of the table form.
        is_yes: The answer: True ends with exit code 0, False with 1.
        only_json: Keys that the table form leaves out, for they are not made to be read.

    Raises:
        click.exceptions.Exit: Always; it carries the exit code.
    """
    is_json = click.get_current_context().meta.get(FORMAT_KEY) == "json"
    shown = {key: value for key, value in document.items() if key not in only_json}
    click.echo(to_json(document) if is_json else table(shown))
    raise click.exceptions.Exit(0 if is_yes else 1)


def to_json(document: Any) -> str:
    """Write *document* as JSON, which has no infinity and no nan: they become texts.

    >>> print(to_json({"value": math.inf}))
    {
      "value": "inf"
    }
    """
    return json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def table(document: Mapping[str, Any]) -> str:
    """Lay *document* out as aligned plain text: single values first, then a block for each group.

    >>> print(table({"model": "delay", "versions": [{"version": 1, "stage": "None"}]}))
    model  delay
    <BLANKLINE>
    versions
      version  stage
      1        None
    """
    groups = {key: value for key, value in document.items() if value and _is_group(value)}
    single = [(key, cell(value, key)) for key, value in document.items() if key not in groups]
    blocks = [_align(single)] if single else []
    blocks += [f"{key}\n{_indent(_block(value))}" for key, value in groups.items()]
    return "\n\n".join(blocks)


def cell(value: Any, key: str = "") -> str:
    """Say one value in one cell; a *key* that ends in ``_ms`` is a moment.

    >>> cell({"data": "passed", "metrics": "failed"})
    'data=passed, metrics=failed'
    >>> cell(0.123456789), cell(None), cell(0, "time_ms")
    ('0.123457', '-', '1970-01-01 00:00:00Z')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={cell(part, name)}" for name, part in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if key.endswith("_ms") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return "-" if value is None or value == "" else _shown(" ".join(str(value).split()))


def _shown(text: str) -> str:
    """Return *text* without what would move the cursor and write over other lines.

    >>> _shown(chr(27) + "[2Jgone") == chr(0xFFFD) + "[2Jgone"
    True
    """
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _block(value: Any) -> str:
    if isinstance(value, Mapping):
        return _align([(key, cell(part, key.split(".")[-1])) for key, part in _leaves(value)])
    if isinstance(value[0], Mapping):
        return _grid(value)
    return "\n".join(map(cell, value))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what lies in groups inside groups under dotted names; empty groups are shown as such.

    >>> dict(_leaves({"gates": [{"gate": "data"}], "owners": {}, "keys": None}))
    {'gates.0.gate': 'data', 'owners': {}, 'keys': None}
    """
    has_groups = _is_group(value) and (isinstance(value, Mapping) or any(map(_is_group, value)))
    if path and not (has_groups and value):
        yield path, value
        return
    parts = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, part in parts:
        yield from _leaves(part, f"{path}.{key}" if path else str(key))


def _grid(rows: Sequence[Mapping[str, Any]]) -> str:
    titles = list(dict.fromkeys(key for row in rows for key in row))
    cells = ([_clip(cell(row.get(title), title), title) for title in titles] for row in rows)
    return _align([titles, *cells])


def _clip(text: str, title: str) -> str:
    """Cut what would widen its column beyond a screen; never a command, which is to be copied."""
    return text if title == "fix" or len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
