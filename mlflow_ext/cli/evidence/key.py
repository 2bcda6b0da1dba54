"""``mlflow-ext evidence key``: the public key with which this machine signs."""

from __future__ import annotations

import click

from mlflow_ext.cli._options import format_option
from mlflow_ext.cli._output import emit


@click.command()
@format_option
def command() -> None:
    """Print the public key with which this machine signs evidence.

    A policy that lists it under 'keys' trusts what this machine attests. The first call makes the
    key; MLFLOW_EXT_KEY names another file for it.
    """
    from mlflow_ext.registry.signing import load_key

    key = load_key()
    emit({"key_id": key.key_id, "public_key": key.public_key})
