"""``mlflow.request_header_provider``: every request of MLflow's client says for whom it is made.

MLflow imports this module in the middle of ``import mlflow``. Hence one import at the top.
"""

from __future__ import annotations

from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider


class ActorRequestHeader(RequestHeaderProvider):
    """Claims to act for the user of this process; a server believes its own authentication."""

    def in_context(self) -> bool:
        """Return True: somebody always runs the process."""
        return True

    def request_headers(self) -> dict[str, str]:
        """Return the header with ``user@host``, or the one that ``MLFLOW_EXT_ACTOR`` names."""
        import os

        from mlflow_ext.process import current_actor
        from mlflow_ext.registry.gated.caller import claim

        return claim(os.environ.get("MLFLOW_EXT_ACTOR") or current_actor())
