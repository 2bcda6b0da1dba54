"""The gate of this distribution obeys the laws of every gate."""
# ruff: noqa: RUF012  the attributes of this class are constants

from mlflow_ext.testing import GateCase
from mlflow_ext.testing.gate_case import UNUSABLE


class TestCoverage(GateCase):
    name = "coverage"
    options = {"column": "carrier", "values": ["AA", "UA"]}
    changed = {"minimum_rows": 40}
    unusable = {name: UNUSABLE[name] for name in ("an empty holdout",)}  # it counts rows, no more
