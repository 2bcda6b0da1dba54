"""How good a model is: metrics, figures and slices of its predictions, logged with the run."""
