"""The `mlflow.run_context_provider` plugin: every run says which code and environment made it.

MLflow imports this module in the middle of `import mlflow`, and turns a failure into a mere
warning. Hence one import at the top, and no more.
"""

from __future__ import annotations

from mlflow.tracking.context.abstract_context import RunContextProvider


class ProvenanceRunContext(RunContextProvider):
    """Tags each run with its provenance, read anew each time: the working tree may have changed."""

    def in_context(self) -> bool:
        """Return True: a run always comes from somewhere."""
        return True

    def tags(self) -> dict[str, str]:
        """Return the tags of `mlflow_ext.lineage.provenance.provenance`."""
        from mlflow_ext.lineage.provenance import provenance

        return provenance()
