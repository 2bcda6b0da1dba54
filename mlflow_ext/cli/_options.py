"""The options that commands share, each with its help and its environment variable.

An option of one command only is declared with `option`, which shows the variable that click derives
from the command's name: ``--reason`` of ``promote`` is ``MLFLOW_EXT_PROMOTE_REASON``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mlflow_ext.cli._output import FORMATS, choose_format
from mlflow_ext.process import current_actor

if TYPE_CHECKING:
    from mlflow_ext.registry.remote import Registry

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])
Ask = Callable[..., dict[str, Any]]
"""``ask(operation, **payload)`` of a gated registry."""

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
    """Hand a command `Ask` of the gated registry as its first argument.

    Adds the options that lead there and ``--actor``. The registry is looked for when it is first
    asked; plain MLflow in its place ends the command with the error that says what to start.
    """

    @wraps(callback)
    def call(
        *, tracking_uri: str | None, registry_uri: str | None, actor: str, **words: Any
    ) -> Any:
        @cache
        def find() -> Registry:
            from mlflow_ext.registry.remote import require_registry

            return require_registry(tracking_uri, registry_uri, actor)

        def ask(operation: str, **payload: Any) -> dict[str, Any]:
            return find().ask(operation, **payload)

        return callback(ask, **words)

    return tracking_uri_option(registry_uri_option(actor_option(call)))
