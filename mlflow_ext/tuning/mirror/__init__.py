"""Every finished trial as one child run in MLflow, under the run of its study.

The study's own storage holds the truth. What stands in MLflow can be made from it again at any
time: `sync` adds what is missing, ends what a crash left running and removes what is there twice;
`following` does so while the study runs.
"""

from __future__ import annotations

from mlflow_ext.tuning.mirror.follower import following, spell_sync, warn_missing
from mlflow_ext.tuning.mirror.place import StudyRun, context_tags, open_study_run
from mlflow_ext.tuning.mirror.reconciliation import sync

__all__ = [
    "StudyRun",
    "context_tags",
    "following",
    "open_study_run",
    "spell_sync",
    "sync",
    "warn_missing",
]
