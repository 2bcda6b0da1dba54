"""The gate `metrics`, case by case."""

from pathlib import Path

import pytest
import yaml

from mlflow_ext.errors import DirectionError, UnknownNameError
from mlflow_ext.gates.metrics import judge_metrics
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.project import Kpi
from mlflow_ext.records import GateReport, from_json, to_json

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "metrics.yaml").read_text())
SUBJECT = GateSubject(
    model="flight-delay", version=7, fingerprints={"holdout": "f00d"}, rows=120, created_ms=5
)


def kpi(metric="roc_auc", direction="maximize", threshold=0.67):
    return Kpi(metric=metric, direction=direction, threshold=threshold, why="people rely on it")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    report = judge_metrics([kpi(**k) for k in case["kpis"]], case["observed"], SUBJECT)
    assert report.verdict == case["verdict"]
    assert [check.verdict for check in report.checks] == case["checks"]
    for line, said in zip(report.reasons, case.get("says", report.reasons), strict=True):
        assert said in line


def test_the_report_names_version_rows_and_time_and_survives_json():
    report = judge_metrics([kpi()], {"roc_auc": 0.7}, SUBJECT)
    assert (report.gate, report.subject) == ("metrics", "models:/flight-delay/7")
    assert (report.fingerprints, report.created_ms) == ({"holdout": "f00d"}, 5)
    assert report.checks[0].rows == 120
    assert from_json(GateReport, to_json(report)) == report


def test_another_threshold_is_another_configuration_and_another_value_is_not():
    first, second, third = (
        judge_metrics([kpi(threshold=t)], {"roc_auc": v}, SUBJECT).config_digest
        for t, v in [(0.6, 0.7), (0.6, 0.1), (0.7, 0.7)]
    )
    assert first == second != third


def test_an_unknown_metric_is_an_error_even_when_it_was_observed():
    with pytest.raises(UnknownNameError, match="unknown metric 'roc_acu'"):
        judge_metrics([kpi(metric="roc_acu")], {"roc_acu": 1.0}, SUBJECT)


def test_a_kpi_that_rewards_the_worse_model_is_an_error():
    with pytest.raises(DirectionError, match="metric 'brier' with direction 'maximize'"):
        judge_metrics([kpi(metric="brier")], {"brier": 0.1}, SUBJECT)
