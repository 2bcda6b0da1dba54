"""``mlflow-ext status MODEL``: what a model is for, which version is where, and on what grounds."""

from __future__ import annotations

from typing import Any

import click

from mlflow_ext.cli._options import model_argument, store_options
from mlflow_ext.cli._output import emit


@click.command()
@model_argument
@store_options
def command(model: str, tracking_uri: str | None, registry_uri: str | None) -> None:
    """Show the versions of MODEL and their grounds.

    Each version with its stage, aliases, gate verdicts, KPIs, run and commit, newest first.
    """
    from mlflow_ext.registry.remote import find_registry

    registry = find_registry(tracking_uri, registry_uri)
    emit(
        registry.ask("status", model=model)
        if registry
        else _read(model, tracking_uri, registry_uri)
    )


def _read(model: str, tracking_uri: str | None, registry_uri: str | None) -> dict[str, Any]:
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.status import read_status
    from mlflow_ext.registry.connection import connect

    return to_dict(read_status(connect(tracking_uri, registry_uri), model))
