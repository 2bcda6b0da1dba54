"""Conformance classes: whoever extends the suite subclasses one, and pytest does the rest."""

from __future__ import annotations

from mlflow_ext.testing.gate_case import GateCase

__all__ = ["GateCase"]
