"""The options that commands share, each with its help and its environment variable.

An option of one command only is declared with `option`, which shows the variable that click derives
from the command's name: ``--reason`` of ``promote`` is ``MLFLOW_EXT_PROMOTE_REASON``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

import click

from mlflow_ext.cli._output import FORMATS, choose_format
from mlflow_ext.process import current_actor

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])

option = partial(click.option, show_envvar=True)
"""`click.option` that names its environment variable in the help."""

model_argument = click.argument("model")
version_argument = click.argument("version", type=click.IntRange(min=1))
reason_option = option("--reason", required=True, help="Why, for the record.")
stage_option = option(
    "--to",
    metavar="STAGE",
    required=True,
    help="The stage to move to: Staging, Production, Archived, None or one of the policy.",
)

format_option = option(
    "--format",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    envvar="MLFLOW_EXT_FORMAT",
    expose_value=False,
    is_eager=True,
    callback=choose_format,
    help="How the document is written to stdout.",
)

tracking_uri_option = option(
    "--tracking-uri",
    envvar="MLFLOW_EXT_TRACKING_URI",
    metavar="URI",
    show_default="MLFLOW_TRACKING_URI",
    help="MLflow tracking server or database.",
)

registry_uri_option = option(
    "--registry-uri",
    envvar="MLFLOW_EXT_REGISTRY_URI",
    metavar="URI",
    show_default="MLFLOW_REGISTRY_URI",
    help="MLflow model registry.",
)

actor_option = option(
    "--actor",
    envvar="MLFLOW_EXT_ACTOR",
    default=current_actor,
    show_default="user@host",
    help="Who asks, for the record.",
)


def store_options(callback: AnyCallable) -> AnyCallable:
    """Add ``--tracking-uri``, ``--registry-uri`` and ``--format`` to a command."""
    return tracking_uri_option(registry_uri_option(format_option(callback)))


def ask_gated(callback: AnyCallable) -> Callable[..., Any]:
    """Hand a command the gated registry as its first argument, ``ask(operation, **payload)``.

    Adds the options that lead to it and ``--actor``. Against plain MLflow the command ends with an
    error that says how to get a gated registry.
    """

    @wraps(callback)
    def call(
        *, tracking_uri: str | None, registry_uri: str | None, actor: str, **words: Any
    ) -> Any:
        from mlflow_ext.registry.remote import require_registry

        registry = require_registry(tracking_uri, registry_uri, actor)
        return callback(registry.ask, **words)

    return tracking_uri_option(registry_uri_option(actor_option(call)))
