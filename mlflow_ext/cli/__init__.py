"""The command ``mlflow-ext``: the file tree is the command tree.

A new command is one new module here. It defines ``command`` (a `click.Command`), imports click,
`_options` and `_output` at its top and everything else inside the callback, so that ``--help``
answers at once. Exit codes are decided here alone: 0 yes, 1 no (always with a document on stdout),
2 no verdict could be reached.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from mlflow_ext.cli._tree import TreeGroup
from mlflow_ext.errors import MlflowExtError
from mlflow_ext.registry.connection import IMPATIENT

NO_VERDICT = 2
# Quicker to admit that a server is dead, and without a progress bar for every file.
MLFLOW_DEFAULTS = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", **IMPATIENT}

command = TreeGroup(
    __name__,
    name="mlflow-ext",
    context_settings={"auto_envvar_prefix": "MLFLOW_EXT"},
    help="""Gates, tuning and governed promotion for MLflow.

    Exit code 0 means yes, 1 means no (the document says why), 2 means that no verdict could be
    reached. A server that does not answer is given up after seconds; set
    MLFLOW_HTTP_REQUEST_MAX_RETRIES and MLFLOW_HTTP_REQUEST_TIMEOUT to be more patient.
    """,
)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    for name, value in MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: The words after ``mlflow-ext``.

    Returns:
        The exit code: 0 yes, 1 no, 2 no verdict.
    """
    try:
        code = command.main(list(arguments), prog_name="mlflow-ext", standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
    except MlflowExtError as error:
        click.echo(f"Error: {error}", err=True)
    except click.Abort:
        click.echo("aborted", err=True)
    except Exception:
        # Python would end a bare traceback with 1, which reads as "no".
        traceback.print_exc()
    else:
        return code if isinstance(code, int) else 0
    return NO_VERDICT
