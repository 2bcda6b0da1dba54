"""``mlflow-ext webhook``: who is told what happens in the registry."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(
    __name__, name="webhook", help="Tell other programs what happens in the registry."
)
