"""``mlflow-ext evidence``: what gates have found out about a version, signed."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(
    __name__,
    name="evidence",
    help="Look at the evidence about a version and carry it to other servers.",
)
