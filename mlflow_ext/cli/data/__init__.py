"""``mlflow-ext data``: what exactly a table is."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(__name__, name="data", help="Look at tables and their identity.")
