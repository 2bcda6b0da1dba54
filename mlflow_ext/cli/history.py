"""``mlflow-ext history MODEL``: every recorded change of stage, oldest first."""

from __future__ import annotations

from typing import Any

import click

from mlflow_ext.cli._options import model_argument, store_options
from mlflow_ext.cli._output import emit


@click.command()
@model_argument
@store_options
def command(model: str, tracking_uri: str | None, registry_uri: str | None) -> None:
    """Show every change of stage of MODEL.

    Who moved which version where, when, why and on what evidence, oldest first; a gated registry
    shows what it refused, too.
    """
    from mlflow_ext.registry.remote import find_registry

    registry = find_registry(tracking_uri, registry_uri)
    emit(
        registry.ask("history", model=model)
        if registry
        else _read(model, tracking_uri, registry_uri)
    )


def _read(model: str, tracking_uri: str | None, registry_uri: str | None) -> dict[str, Any]:
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.history import read_history
    from mlflow_ext.registry.connection import connect

    steps = read_history(connect(tracking_uri, registry_uri), model)
    return {"model": model, "transitions": [to_dict(step) for step in steps]}
