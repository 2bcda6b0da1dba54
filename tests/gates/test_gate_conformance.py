"""Every gate of ours obeys the laws that outside authors have to obey."""
# ruff: noqa: RUF012  the attributes of these classes are constants

import json
from dataclasses import replace

import pytest

from mlflow_ext.gates.catalog import known_gates
from mlflow_ext.testing import GateCase
from mlflow_ext.testing.gate_case import UNUSABLE

ROWS_ALONE = {name: UNUSABLE[name] for name in ("an empty holdout",)}
AREA = {"metric": "roc_auc", "direction": "maximize"}
KPI = {**AREA, "threshold": 0.7, "why": "people rely on it"}


class TestCalibration(GateCase):
    name = "calibration"
    options = {"max_ece": 0.2, "max_slope_error": 1.0, "max_intercept": 1.0}
    changed = {"max_ece": 0.1}


class TestChampion(GateCase):
    name = "champion"
    options = {**AREA, "margin": 0.01}
    changed = {"margin": 0.02}


class TestData(GateCase):
    name = "data"
    options = {"suite": "holdout.json"}
    unusable = ROWS_ALONE

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        kwargs = {"column": "hour", "min_value": 0, "max_value": 23}
        between = {"type": "expect_column_values_to_be_between", "kwargs": kwargs}
        rows = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
        suite = {"name": "holdout", "expectations": [between, rows]}
        (tmp_path / "holdout.json").write_text(json.dumps(suite))
        self.folder = tmp_path

    def candidate(self):
        return replace(super().candidate(), folder=self.folder)


class TestFairness(GateCase):
    name = "fairness"
    options = {"columns": ["carrier"], "equalized_odds": {"max_difference": 0.5}}
    changed = {"minimum_rows": 90}


class TestInfra(GateCase):
    name = "infra"
    changed = {"pickle": "refused"}
    unusable = {}
    is_repeatable = False


class TestLatency(GateCase):
    name = "latency"
    options = {"max_single_ms": 60_000.0, "repetitions": 72}
    changed = {"warmup": 1}
    unusable = ROWS_ALONE
    is_repeatable = False


class TestLeakage(GateCase):
    name = "leakage"
    changed = {"max_auc": 0.9}
    unusable = ROWS_ALONE


class TestMetrics(GateCase):
    name = "metrics"
    options = {"kpis": [KPI]}
    changed = {"kpis": [{**KPI, "threshold": 0.6}]}


class TestSchema(GateCase):
    name = "schema"
    changed = {"max_missing": 0.1}
    unusable = ROWS_ALONE


class TestSize(GateCase):
    name = "size"
    options = {"max_megabytes": 50.0}
    changed = {"max_megabytes": 60.0}
    unusable = {}


class TestSlices(GateCase):
    name = "slices"
    options = {"columns": ["carrier"], "limits": [{"metric": "roc_auc", "threshold": 0.6}]}
    changed = {"minimum_rows": 90}


class TestStability(GateCase):
    name = "stability"
    options = {"metric": "roc_auc", "max_spread": 0.2, "refits": 5}
    changed = {"refits": 4}
    unusable = {name: UNUSABLE[name] for name in UNUSABLE if "scores" not in name}  # it refits


def test_no_gate_of_ours_is_left_out():
    judged = {case.name for case in GateCase.__subclasses__() if case.__module__ == __name__}
    assert judged == known_gates()
