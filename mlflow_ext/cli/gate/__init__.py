"""``mlflow-ext gate``: judge registered versions, and see what stands between them and a stage."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(
    __name__,
    name="gate",
    help="Judge a registered version, show its reports, and explain what it still lacks.",
)
