"""Advisory mode: promotion with evidence over a plain MLflow, which does not enforce it."""
