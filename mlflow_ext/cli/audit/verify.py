"""``mlflow-ext audit verify``: is the ledger what was written?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlflow_ext.cli._files import input_type, read_document
from mlflow_ext.cli._options import Ask, ask_gated, format_option, option
from mlflow_ext.cli._output import emit


@click.command()
@option(
    "--anchor",
    type=input_type,
    metavar="FILE",
    help="What 'audit anchor' wrote once: the ledger must still hold that line.",
)
@format_option
@ask_gated
def command(ask: Ask, *, anchor: Path | None) -> None:
    """Find every line of the ledger that was edited, removed or put elsewhere.

    A ledger that was rewritten as a whole holds together; only an anchor shows it. A problem ends
    with exit code 1.
    """
    recorded = _read_anchor(anchor) if anchor else None
    answer = ask("audit/verify")
    problems = [*answer["problems"], *(_compare(ask, recorded) if recorded else [])]
    emit({**answer, "problems": problems}, is_yes=not problems)


def _read_anchor(file: Path) -> dict[str, Any]:
    anchor = read_document(file, "mlflow-ext audit anchor")
    if not {"workspace", "seq", "hash"} <= anchor.keys() or not isinstance(anchor["seq"], int):
        raise click.UsageError(f"{file} is not what 'mlflow-ext audit anchor' writes")
    return anchor


def _compare(ask: Ask, anchor: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the problem with the anchored line; the anchor of an empty ledger names none."""
    seq = anchor["seq"]
    if seq < 1:
        return []
    page = ask("audit/export", after=seq - 1, limit=1)["entries"]
    line = next((line for line in page if line["seq"] == seq), None)
    if line and all(line[key] == anchor[key] for key in ("workspace", "hash")):
        return []
    found = f"has hash {line['hash']}" if line else "is gone"
    was = f"it had {anchor['hash']} in workspace '{anchor['workspace']}' when it was anchored"
    return [{"seq": seq, "id": line and line["id"], "problem": f"the line {found}; {was}"}]
