"""``mlflow-ext audit``: whether the ledger is what it was."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(__name__, name="audit", help="Verify, export and anchor the ledger.")
