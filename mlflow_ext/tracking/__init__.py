"""Writing many finished runs to MLflow at once: what a run holds, and the quickest way there."""
