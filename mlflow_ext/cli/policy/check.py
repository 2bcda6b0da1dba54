"""``mlflow-ext policy check FILE``: is this a policy?"""

from __future__ import annotations

from pathlib import Path

import click

from mlflow_ext.cli._files import input_type
from mlflow_ext.cli._options import format_option
from mlflow_ext.cli._output import emit, say


@click.command()
@click.argument("file", type=input_type)
@format_option
def command(file: Path) -> None:
    """Say whether FILE (YAML) is a policy, and show it with every default.

    Asks no server. What is wrong is named with its line, and ends with exit code 1.
    """
    from mlflow_ext.errors import MlflowExtError
    from mlflow_ext.registry.rules import dump_policy, policy_digest, read_policy, weaknesses

    try:
        policy = read_policy(file)
    except MlflowExtError as error:
        wrong = {"found": error.found, "expected": error.expected, "fix": error.fix}
        emit({"file": str(file), "is_policy": False, **wrong}, is_yes=False)
    for weakness in weaknesses(policy):
        say(f"warning: {weakness}")
    emit(
        {
            "file": str(file),
            "is_policy": True,
            "digest": policy_digest(policy),
            "policy": dump_policy(policy),
        }
    )
