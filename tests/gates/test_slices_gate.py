"""The gate `slices`, case by case, and on a real model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from judged_candidates import departures, make_candidate, predict, save

from mlflow_ext.errors import GateConfigError, UnknownNameError
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.records import GateReport, Severity, Verdict, from_json, to_json

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "slices.yaml").read_text())
ACCURACY = {"metric": "accuracy", "threshold": 0.5}


class Judged:
    """Predictions and the rows that they are about, as a gate looks at them."""

    def __init__(self, predictions, holdout):
        self.predictions, self.holdout, self.attachments = predictions, holdout, {}


def build(**options):
    return build_gate("slices", {"columns": ["origin"], "limits": [ACCURACY], **options})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return save(tmp_path_factory.mktemp("slices"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    slices = case["slices"].items()
    rows = [(name, i % 2, i < right) for name, (n, right) in slices for i in range(n)]
    names, labels, right = zip(*rows, strict=True)
    judged = Judged(
        predict(labels, right), pd.DataFrame({"origin": pd.Series(names, dtype=object)})
    )
    checks = tuple(build(limits=[case["limit"]], **case.get("options", {})).judge(judged))
    report = GateReport(
        gate="slices", subject="", checks=checks, fingerprints={}, config_digest="", created_ms=0
    )
    assert [[c.name, c.slice, str(c.verdict)] for c in checks] == case["checks"]
    assert report.verdict == case["verdict"]
    needed = [c.rows_needed for c in checks]
    assert needed == case.get("rows_needed", needed)
    assert all(said in "; ".join(report.reasons) for said in case.get("says", []))


def test_a_registered_model_is_judged_in_every_slice_and_the_table_is_left_behind(files):
    candidate = make_candidate(files)
    gates = {"slices": build(columns=["origin", "carrier"], small_slices="warn")}
    (report,) = judge_candidate(gates, candidate)
    assert from_json(GateReport, to_json(report)) == report
    assert report.verdict is Verdict.PASSED
    kinds = ["origin", "carrier", "origin, carrier"]
    assert [c.slice.count("=") for c in report.checks if c.name == "accuracy"] == [1, 1, 2]
    table = candidate.attachments["slices"]
    assert list(dict.fromkeys(table.by)) == kinds
    assert table.groupby("by").rows.sum().to_dict() == dict.fromkeys(kinds, 2000)
    row = table[table.slice == "origin=JFK"].iloc[0]
    of_jfk = candidate.predictions.take((candidate.holdout.origin == "JFK").to_numpy())
    assert row.value == np.mean(of_jfk.decisions == of_jfk.labels)


def test_a_pair_of_values_finds_what_neither_column_shows(files):
    holdout = departures(seed=3)
    is_bad = (holdout.origin == "JFK") & (holdout.carrier == "DL")
    holdout.loc[is_bad, "late"] = 1 - holdout.late[is_bad]
    gate = build(columns=["origin", "carrier"], limits=[{"metric": "accuracy", "threshold": 0.3}])
    checks = list(gate.judge(make_candidate(files, holdout)))
    assert [c.slice for c in checks if c.verdict is Verdict.FAILED] == ["origin=JFK, carrier=DL"]


def test_small_pairs_are_told_and_do_not_decide(files):
    checks = build(columns=["origin", "carrier"]).judge(make_candidate(files))
    support = {c.slice.count("="): c.severity for c in checks if c.name == "support"}
    assert support == {1: Severity.BLOCK, 2: Severity.WARN}


def test_pairs_are_left_out_when_nobody_asks_for_them(files):
    candidate = make_candidate(files)
    list(build(columns=["origin", "carrier"], pairs=False).judge(candidate))
    assert set(candidate.attachments["slices"].by) == {"origin", "carrier"}


def test_a_value_that_no_training_row_had_is_a_slice_that_must_be_good_too(files):
    holdout = departures(seed=3)
    is_new = holdout.index < 300
    holdout.loc[is_new, "origin"] = "SWF"
    holdout.loc[is_new, "late"] = 1 - holdout.late[is_new]
    assert "SWF" not in set(departures(seed=1).origin)
    (check,) = build().judge(make_candidate(files, holdout))
    assert (check.slice, check.rows, str(check.verdict)) == ("origin=SWF", 300, "failed")


def test_a_number_is_cut_at_its_quantiles(files):
    candidate = make_candidate(files)
    list(build(columns=["x"], bins=4).judge(candidate))
    assert candidate.attachments["slices"].rows.tolist() == [500] * 4


def test_several_metrics_are_one_family(files):
    limits = [
        ACCURACY,
        {"metric": "roc_auc", "max_drop": 0.1},
        {"metric": "brier", "max_drop": 0.1},
    ]
    checks = list(build(limits=limits).judge(make_candidate(files)))
    assert [c.name for c in checks] == ["accuracy", "roc_auc", "brier"]
    assert all("adjusted for 9 comparisons" in c.reason for c in checks)
    assert all(c.verdict is Verdict.PASSED for c in checks)


def test_an_unknown_column_is_an_error_that_names_the_nearest(files):
    with pytest.raises(UnknownNameError, match="write 'origin' instead of 'orign'"):
        list(build(columns=["orign"]).judge(make_candidate(files)))


@pytest.mark.parametrize("metric", ["ece", "acuracy"])
def test_a_metric_that_cannot_be_searched_is_an_error(metric):
    with pytest.raises(UnknownNameError, match=f"unknown metric of slices '{metric}'"):
        build(limits=[{"metric": metric, "threshold": 0.1}])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limits": [{"metric": "recall"}]}, "threshold or max_drop"),
        (
            {"limits": [{"metric": "recall", "threshold": 0.1, "max_drop": 0.1}]},
            "threshold or max_",
        ),
        ({"limits": [ACCURACY, ACCURACY]}, "one limit per metric"),
        ({"minimum_row": 5}, "rename it to 'minimum_rows'"),
        ({"columns": []}, "at least 1 item"),
    ],
)
def test_a_wrong_option_is_an_error(options, said):
    with pytest.raises(GateConfigError, match=said):
        build(**options)
