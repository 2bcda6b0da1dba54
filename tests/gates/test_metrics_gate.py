"""The gate `metrics`, case by case."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from mlflow_ext.errors import DirectionError, TableError, UnknownNameError
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.gates.metrics import MetricsGate, judge_kpi
from mlflow_ext.project import Kpi

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "metrics.yaml").read_text())


def kpi(metric="roc_auc", direction="maximize", threshold=0.67):
    return Kpi(metric=metric, direction=direction, threshold=threshold, why="people rely on it")


def predictions(rows, right):
    """Hard answers, of which so many are right."""
    labels = np.arange(rows) % 2
    is_right = np.arange(rows) < right
    return Predictions("holdout", labels, np.where(is_right, labels, 1 - labels).astype(float))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    check = judge_kpi(kpi(**case["kpi"]), predictions(case["rows"], case["right"]))
    assert check.verdict == case["verdict"]
    assert check.observed == pytest.approx(case["observed"])
    assert check.rows == case["rows"]
    low, high = check.interval
    assert low <= check.observed <= high
    if "interval" in case:
        assert check.interval == pytest.approx(case["interval"], abs=1e-4)
    if "rows_needed" in case:
        assert check.rows_needed == (
            case["rows_needed"] and pytest.approx(case["rows_needed"], 0.2)
        )
    assert case.get("says", "") in check.reason


def test_the_rows_that_are_said_to_be_needed_settle_it():
    asked = kpi("accuracy", threshold=0.89)
    open_ = judge_kpi(asked, predictions(1000, 900))
    rows = 1000 + open_.rows_needed
    assert judge_kpi(asked, predictions(rows, round(rows * 0.9))).verdict == "passed"


def test_a_higher_confidence_asks_for_more():
    asked, seen = kpi("accuracy", threshold=0.87), predictions(1000, 900)
    verdicts = [str(judge_kpi(asked, seen, level).verdict) for level in (0.9, 0.9999)]
    assert verdicts == ["passed", "inconclusive"]


def test_a_value_that_is_undefined_is_no_pass():
    never = Predictions("holdout", np.array([0, 1]), np.array([0.1, 0.2]))
    check = judge_kpi(kpi("precision", threshold=0.0), never)
    assert (check.verdict, check.observed, check.interval) == ("inconclusive", None, None)
    assert "no finite value of precision" in check.reason


def test_one_class_gives_no_verdict_on_what_needs_both():
    only = Predictions("holdout", np.ones(50), np.full(50, 0.9))
    with pytest.raises(TableError, match="all 50 labels are 1"):
        judge_kpi(kpi(), only)


def test_an_unknown_metric_is_told_before_anything_is_judged():
    with pytest.raises(UnknownNameError, match="unknown metric 'roc_acu'"):
        MetricsGate(kpis=(kpi(metric="roc_acu"),))


def test_a_kpi_that_rewards_the_worse_model_is_told_before_anything_is_judged():
    with pytest.raises(DirectionError, match="metric 'brier' with direction 'maximize'"):
        MetricsGate(kpis=(kpi(metric="brier"),))
