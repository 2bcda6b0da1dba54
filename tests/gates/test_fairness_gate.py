"""The gate `fairness`, case by case, and on a real model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fairlearn import metrics as fairlearn
from judged_candidates import departures, make_candidate, save

from mlflow_ext.errors import GateConfigError, UnknownNameError
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.groups import group_by
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.fairness import judge_rates, measure_rates
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.records import GateReport, Verdict, from_json, to_json

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "fairness.yaml").read_text())
PARITY = {"demographic_parity": {"max_difference": 0.1}}


def build(limits=PARITY, **options):
    return build_gate("fairness", {"columns": ["origin"], **limits, **options})


def rows_of(groups):
    """Group, label and decision of every row."""
    cells = [(1, 1), (1, 0), (0, 1), (0, 0)]
    return [
        (name, *cell)
        for name, counts in groups.items()
        for cell, count in zip(cells, counts, strict=True)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return save(tmp_path_factory.mktemp("fairness"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    names, labels, decisions = zip(*rows_of(case["groups"]), strict=True)
    frame = pd.DataFrame({"origin": pd.Series(names, dtype=object)})
    predictions = Predictions("holdout", np.array(labels), np.array(decisions, dtype=float))
    table = measure_rates(predictions, group_by(frame, ["origin"]))
    gate = build(case["limits"], **case.get("options", {}))
    checks = tuple(judge_rates(gate, "origin", table))
    report = GateReport(
        gate="fairness", subject="", checks=checks, fingerprints={}, config_digest="", created_ms=0
    )
    found = [[c.name, str(c.verdict), c.observed] for c in checks]
    assert found == [[n, v, pytest.approx(o) if o else o] for n, v, o in case["checks"]]
    assert report.verdict == case["verdict"]
    needed = [c.rows_needed for c in checks]
    assert needed == case.get("rows_needed", needed)
    assert all(said in "; ".join(report.reasons) for said in case.get("says", []))


def test_a_registered_model_is_judged_and_the_rates_of_all_groups_are_left_behind(files):
    candidate = make_candidate(files)
    limits = {**PARITY, "equalized_odds": {"max_difference": 0.2, "min_ratio": 0.1}}
    gates = {"fairness": build(limits, columns=["origin", "x"], bins=2)}
    (report,) = judge_candidate(gates, candidate)
    assert from_json(GateReport, to_json(report)) == report
    names = ["demographic_parity_difference", "equalized_odds_difference", "equalized_odds_ratio"]
    assert [(c.slice, c.name) for c in report.checks if c.name != "support"][:3] == [
        ("origin", name) for name in names
    ]
    assert {c.verdict for c in report.checks if c.slice == "origin"} == {Verdict.PASSED}
    # The label follows x, so that its halves are selected at very different rates.
    assert next(c for c in report.checks if c.slice == "x").verdict is Verdict.FAILED
    table = candidate.attachments["fairness"]
    assert table.groupby("column").selection_rate_rows.sum().to_dict() == {
        "origin": 2000,
        "x": 2000,
    }


def test_rates_and_gaps_are_those_that_fairlearn_computes_from_the_rows(files):
    candidate = make_candidate(files)
    origin, predictions = candidate.holdout.origin, candidate.predictions
    table = measure_rates(predictions, group_by(candidate.holdout, ["origin"])).set_index("group")
    functions = {
        "selection_rate": fairlearn.selection_rate,
        "recall": fairlearn.true_positive_rate,
        "false_positive_rate": fairlearn.false_positive_rate,
    }
    rows = {"y_true": predictions.labels, "y_pred": predictions.decisions}
    theirs = fairlearn.MetricFrame(metrics=functions, sensitive_features=origin, **rows)
    for rate in functions:
        assert table[rate].to_numpy() == pytest.approx(theirs.by_group[rate].to_numpy())
    limits = {
        **{"demographic_parity": {"max_difference": 0.1, "min_ratio": 0.5}},
        **{"equalized_odds": {"max_difference": 0.1, "min_ratio": 0.01}},
        **{"equal_opportunity": {"max_difference": 0.1, "min_ratio": 0.5}},
    }
    for check in build(limits).judge(candidate):
        expected = getattr(fairlearn, check.name)(sensitive_features=origin, **rows)
        assert check.observed == pytest.approx(expected), check.name


def test_a_rate_without_rows_is_undefined_and_not_zero():
    frame = pd.DataFrame({"origin": ["a", "a", "b", "b"]})
    predictions = Predictions("holdout", np.array([0, 0, 1, 0]), np.array([0.9, 0.1, 0.9, 0.1]))
    table = measure_rates(predictions, group_by(frame, ["origin"]))
    assert np.isnan(table.recall[0])
    assert table.recall_rows.tolist() == [0, 1]


def test_a_sensitive_column_that_is_not_there_is_an_error(files):
    with pytest.raises(UnknownNameError, match="unknown column 'gender'"):
        list(build(columns=["gender"]).judge(make_candidate(files, departures(seed=4))))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "a limit for one of demographic_parity"),
        ({"demographic_parity": {}}, "max_difference, min_ratio or both"),
        ({"demographic_parity": {"max_diference": 0.1}}, "rename it to 'max_difference'"),
        ({"equalised_odds": {"max_difference": 0.1}}, "rename it to 'equalized_odds'"),
    ],
)
def test_a_wrong_option_is_an_error(limits, said):
    with pytest.raises(GateConfigError, match=said):
        build(limits)
