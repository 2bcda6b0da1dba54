"""``mlflow-ext history MODEL``: every recorded change of stage, oldest first."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import store_options
from mlflow_ext.cli._output import emit


@click.command()
@click.argument("model")
@store_options
def command(model: str, tracking_uri: str | None, registry_uri: str | None) -> None:
    """Show every change of stage of MODEL.

    Who moved which version where, when, why and on what evidence, oldest first.
    """
    from mlflow_ext.records import to_dict
    from mlflow_ext.registry.advisory.history import read_history
    from mlflow_ext.registry.connection import connect

    steps = read_history(connect(tracking_uri, registry_uri), model)
    emit({"model": model, "transitions": [to_dict(step) for step in steps]})
