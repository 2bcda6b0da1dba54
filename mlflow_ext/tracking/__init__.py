"""Runs of MLflow: the active one, and many finished ones at once by the quickest way there."""
