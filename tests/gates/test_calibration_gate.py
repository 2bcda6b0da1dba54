"""The gate `calibration`, case by case, and on a real model."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from judged_candidates import make_candidate, save

from mlflow_ext.errors import GateConfigError
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.gates.calibration import judge_calibration
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.records import GateReport, Verdict, from_json, to_json

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "calibration.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    random = np.random.default_rng(0)
    p = random.uniform(0.02, 0.98, case["rows"])
    intercept, slope = case["truth"]
    rate = 1 / (1 + np.exp(-intercept - slope * np.log(p / (1 - p))))
    labels = (random.random(len(p)) < rate).astype(int)
    gate = build_gate("calibration", case.get("options", {}))
    checks = tuple(judge_calibration(gate, Predictions("holdout", labels, p)))
    report = GateReport(
        gate="calibration",
        subject="",
        checks=checks,
        fingerprints={},
        config_digest="",
        created_ms=0,
    )
    assert [[c.name, str(c.verdict)] for c in checks] == case["checks"]
    assert report.verdict == case["verdict"]
    assert all(said in "; ".join(report.reasons) for said in case.get("says", []))
    needs_rows = [c.rows_needed is not None for c in checks]
    assert needs_rows == case.get("needs_rows", [False] * len(checks))
    observed = {c.name: c.observed for c in checks}
    for name, (low, high) in case.get("between", {}).items():
        assert low < observed[name] < high


def test_a_registered_model_is_judged_and_the_report_survives_json(tmp_path):
    gates = {"calibration": build_gate("calibration", {"max_slope_error": 0.5, "max_ece": 0.1})}
    (report,) = judge_candidate(gates, make_candidate(save(tmp_path)))
    assert from_json(GateReport, to_json(report)) == report
    assert report.verdict is Verdict.PASSED
    assert [c.expected for c in report.checks] == [
        "<= 0.1",
        "in [0.666667, 1.5]",
        "in [-0.25, 0.25]",
    ]


def test_without_any_limit_nothing_is_asked_for():
    limits = dict.fromkeys(["max_ece", "max_slope_error", "max_intercept"])
    with pytest.raises(GateConfigError, match="one limit at least"):
        build_gate("calibration", limits)
