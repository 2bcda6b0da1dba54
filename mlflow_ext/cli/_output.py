"""How a command answers: one document to stdout, words to stderr, yes or no as the exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

FORMATS = ("table", "json")
FORMAT_KEY = "mlflow_ext.format"


def choose_format(ctx: click.Context, _parameter: click.Parameter, value: str) -> None:
    """Remember the value of ``--format`` for `emit`."""
    ctx.meta[FORMAT_KEY] = value


def say(words: str) -> None:
    """Write *words* for the person at the terminal to stderr."""
    click.echo(words, err=True)


def emit(document: Mapping[str, Any], *, is_yes: bool = True) -> NoReturn:
    """Write *document* to stdout and end the command.

    Args:
        document: JSON values; the keys are the row titles of the table form.
        is_yes: The answer: True ends with exit code 0, False with 1.

    Raises:
        click.exceptions.Exit: Always; it carries the exit code.
    """
    is_json = click.get_current_context().meta.get(FORMAT_KEY) == "json"
    click.echo(json.dumps(document, indent=2, ensure_ascii=False) if is_json else table(document))
    raise click.exceptions.Exit(0 if is_yes else 1)


def table(document: Mapping[str, Any]) -> str:
    """Lay *document* out as aligned plain text: single values first, then each list of rows.

    >>> print(table({"model": "delay", "versions": [{"version": 1, "stage": "None"}]}))
    model  delay
    <BLANKLINE>
    versions
      version  stage
      1        None
    """
    lists = {key: value for key, value in document.items() if _is_rows(value)}
    single = [(key, cell(value)) for key, value in document.items() if key not in lists]
    blocks = [_align(single)] if single else []
    blocks += [f"{key}\n{_indent(_grid(rows))}" for key, rows in lists.items()]
    return "\n\n".join(blocks)


def cell(value: Any) -> str:
    """Say one value in one cell.

    >>> cell({"data": "passed", "metrics": "failed"})
    'data=passed, metrics=failed'
    >>> cell(0.123456789), cell(None), cell([1, 2])
    ('0.123457', '-', '1, 2')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={cell(part)}" for key, part in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(cell(part) for part in value) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None or value == "" else " ".join(str(value).split())


def _is_rows(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)


def _grid(rows: Sequence[Mapping[str, Any]]) -> str:
    titles = list(dict.fromkeys(key for row in rows for key in row))
    return _align([titles, *([cell(row.get(title)) for title in titles] for row in rows)])


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
