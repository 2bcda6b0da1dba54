"""``mlflow-ext request MODEL VERSION --to STAGE``: ask others to approve a promotion."""

from __future__ import annotations

from mlflow_ext.cli._vote import make_vote_command

command = make_vote_command(
    "request",
    """Ask for a version to be moved to a stage.

    The ledger keeps who asked and why. Who asks is an author of the promotion: where the policy
    wants two persons, somebody else approves it.
    """,
)
