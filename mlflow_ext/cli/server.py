"""``mlflow-ext server``: `mlflow server` with the right stores, application and settings."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mlflow_ext.cli._options import option
from mlflow_ext.cli._output import say


@click.command()
@option(
    "--backend-store-uri",
    metavar="URI",
    required=True,
    help="The database, as MLflow takes it; the registry in it is gated.",
)
@option("--artifacts-destination", metavar="URI", help="Where the server keeps files.")
@option("--host", help="The address to listen on.")
@option("--port", type=click.IntRange(1, 65535), help="The port to listen on.")
@option("--workers", type=click.IntRange(min=1), help="How many processes answer.")
@option("--auth", is_flag=True, help="Let users log in: MLflow's basic-auth.")
@option(
    "--gates",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    envvar="MLFLOW_EXT_GATES",
    help="The gates by which the server itself judges versions.",
)
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
def command(auth: bool, gates: Path | None, more: tuple[str, ...], **options: str | None) -> None:
    """Start an MLflow server whose registry refuses what its policies do not allow.

    What stands behind `--` goes to `mlflow server` as it is.
    """
    from mlflow_ext.cli import MLFLOW_DEFAULTS
    from mlflow_ext.registry.gated.launch import Launch, advise, prepare_auth

    launch = Launch(options=options, more=more, is_guarded=auth, gates=gates)
    words = launch.command()
    # What makes a command impatient with a dead server is no setting for a server.
    given = {k: v for k, v in os.environ.items() if MLFLOW_DEFAULTS.get(k) != v}
    environment = launch.environment(given)
    if auth:
        environment |= prepare_auth(given)
    for advice in advise(environment):
        say(advice)
    os.execve(words[0], words, environment)
