"""``mlflow-ext doctor``: what is installed, reachable and missing, and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlflow_ext.cli._options import store_options
from mlflow_ext.cli._output import emit

if TYPE_CHECKING:
    from mlflow_ext.lineage.environment import Need


@click.command()
@store_options
def command(tracking_uri: str | None, registry_uri: str | None) -> None:
    """Look for everything the suite needs on this machine.

    Exit code 1 means that something required is missing; its row names the command that mends it.
    What is only "absent" is needed for some uses alone.
    """
    from mlflow_ext.lineage.environment import examine

    sections = examine(tracking_uri, registry_uri)
    is_ready = all(need.state != "missing" for needs in sections.values() for need in needs)
    rows = {title: [_row(need) for need in needs] for title, needs in sections.items()}
    emit({"ready": is_ready, **rows}, is_yes=is_ready)


def _row(need: Need) -> dict[str, str]:
    fix = "" if need.is_met else need.fix
    return {"name": need.name, "state": need.state, "found": need.found, "fix": fix}
