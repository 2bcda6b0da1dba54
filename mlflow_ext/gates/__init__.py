"""Judges: each module looks at one thing (a table, a model version) and returns a `GateReport`."""
