"""The MLflow entry points: one thin module each, listed in pyproject.toml."""
