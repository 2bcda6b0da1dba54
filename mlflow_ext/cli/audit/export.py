"""``mlflow-ext audit export``: the ledger, line by line."""

from __future__ import annotations

import json
from typing import IO

import click

from mlflow_ext.cli._files import output_option
from mlflow_ext.cli._options import Ask, ask_gated, option

PAGE = 1_000


@click.command()
@option(
    "--format",
    type=click.Choice(["jsonl"]),
    default="jsonl",
    show_default=True,
    expose_value=False,
    help="One line of JSON for each line of the ledger.",
)
@option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="SEQ",
    help="Begin behind the line of this number, to continue an earlier export.",
)
@output_option
@ask_gated
def command(ask: Ask, *, after: int, output: IO[str]) -> None:
    """Write the lines of the ledger as they are, oldest first."""
    following: int | None = after
    while following is not None:
        page = ask("audit/export", after=following, limit=PAGE)
        output.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in page["entries"])
        following = page["next"]
