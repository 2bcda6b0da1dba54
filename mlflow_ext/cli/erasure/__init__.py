"""``mlflow-ext erasure``: which versions know of rows that had to be erased."""

from __future__ import annotations

from mlflow_ext.cli._tree import TreeGroup

command = TreeGroup(
    __name__, name="erasure", help="Record erasure requests and find the versions they concern."
)
