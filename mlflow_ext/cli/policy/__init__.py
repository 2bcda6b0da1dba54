"""``mlflow-ext policy``: what a model must meet to be moved."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(__name__, name="policy", help="Set, show and check what a model must meet.")
