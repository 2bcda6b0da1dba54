"""``mlflow-ext reject MODEL VERSION --to STAGE``: say no to a promotion."""

from __future__ import annotations

from mlflow_ext.cli._vote import make_vote_command

command = make_vote_command(
    "reject",
    """Reject that a version goes to a stage.

    Where the policy asks for approvals, it stays there until you approve.
    """,
)
