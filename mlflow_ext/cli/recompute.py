"""``mlflow-ext recompute MODEL VERSION``: let the registry's own server judge a version."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from mlflow_ext.cli._options import (
    Ask,
    ask_gated,
    format_option,
    model_argument,
    option,
    version_argument,
)
from mlflow_ext.cli._output import emit, say

PAUSE_S = 1.0


@click.command()
@model_argument
@version_argument
@option(
    "--timeout",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Seconds to wait for the verdict.",
)
@format_option
@ask_gated
def command(ask: Ask, *, model: str, version: int, timeout: int) -> None:
    """Let the registry's own server judge VERSION of MODEL.

    By the gates of its own file (mlflow-ext server --gates FILE), as an MLflow job; nothing that a
    client says counts. Its evidence is *recomputed*, the highest level of trust. Answers yes when
    every gate has passed.
    """
    import time

    known = {each["id"] for each in _recomputed(ask, model, version)}
    job = ask("recompute", model=model, version=version)["job_id"]
    say(f"job {job} judges models:/{model}/{version}")
    for _ in range(int(timeout / PAUSE_S)):
        found = [each for each in _recomputed(ask, model, version) if each["id"] not in known]
        if found:
            is_passed = all(each["verdict"] == "passed" for each in found)
            emit({"is_passed": is_passed, "job": job, "attestations": found}, is_yes=is_passed)
        time.sleep(PAUSE_S)
    _give_up(model, version, job, timeout)


def _recomputed(ask: Ask, model: str, version: int) -> list[dict[str, Any]]:
    found = ask("evidence/list", model=model, version=version)["attestations"]
    return [each for each in found if each["trust"] == "recomputed"]


def _give_up(model: str, version: int, job: str, timeout: int) -> NoReturn:
    from mlflow_ext.errors import RegistryStateError

    raise RegistryStateError(
        f"job {job} has left no evidence about models:/{model}/{version} after {timeout} s",
        "a job that ends; the server's log, and /ajax-api/3.0/jobs/ of it, say what became of it",
        f"mlflow-ext evidence list {model} {version}",
    )
