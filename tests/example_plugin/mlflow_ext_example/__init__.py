"""A gate for mlflow_ext that another distribution brings."""
