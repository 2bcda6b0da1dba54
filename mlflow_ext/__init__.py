"""Plugin suite for MLflow: data gates, tuning, evidence and governed promotion."""

__version__ = "0.1.0"
