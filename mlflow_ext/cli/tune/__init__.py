"""``mlflow-ext tune``: searches for parameters, and the studies they leave behind."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(
    __name__, name="tune", help="Search for parameters; show, export and mirror studies."
)
