"""``mlflow-ext approve MODEL VERSION --to STAGE``: say yes to a promotion."""

from __future__ import annotations

from mlflow_ext.cli._vote import make_vote_command

command = make_vote_command(
    "approve",
    """Approve that a version goes to a stage.

    Your newest word counts. How many approvals it takes, and of whom, says the policy.
    """,
)
