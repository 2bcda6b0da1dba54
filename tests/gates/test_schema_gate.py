"""The gate `schema`: types case by case, and real signatures before real tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from gate_candidates import EXAMPLE, candidate, judge, repeat, save, verdicts
from judged_models import flights
from mlflow.models import infer_signature
from mlflow.types import ColSpec, Schema
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlflow_ext.errors import GateConfigError
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.schema import (
    SchemaGate,
    judge_categories,
    judge_missing,
    judge_range,
    judge_types,
)

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "schema.yaml").read_text())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved"), input_example=EXAMPLE)


def column(values, name="c"):
    return pd.Series(values, name=name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    frame = pd.DataFrame({"c": pd.Series(case["values"], dtype=case.get("dtype"))})
    check = judge_types("holdout", frame, {"c": ColSpec(case["declared"], "c")})
    assert check.verdict == case["verdict"]
    assert case.get("says", "") in check.observed.get("c", "")


def test_tables_that_agree_pass_name_by_name(files):
    lenient = SchemaGate(max_outside=0.05)
    assert verdicts(lenient, candidate(files, training=flights(seed=1))) == {
        "signature": "passed",
        "columns(holdout)": "passed",
        "types(holdout)": "passed",
        "columns(training)": "passed",
        "types(training)": "passed",
        "columns(input example)": "passed",
        "types(input example)": "passed",
        "missing(x)": "passed",
        "missing(hour)": "passed",
        "outside(x)": "passed",
        "outside(hour)": "passed",
    }


def test_a_column_that_the_holdout_lacks_fails_and_the_others_are_still_judged(files):
    holdout = flights(seed=2).rename(columns={"hour": "hours"})
    checks = judge(SchemaGate(), candidate(files, holdout, flights(seed=1)))
    assert str(checks["columns(holdout)"].verdict) == "failed"
    assert checks["columns(holdout)"].observed == {"absent": ["hour"]}
    assert {"outside(x)"} == {name for name in checks if name.startswith("outside")}


def test_training_rows_that_are_no_rows_of_this_signature_fail(files):
    training = flights(seed=1).assign(x="high").drop(columns="hour")
    checks = judge(SchemaGate(), candidate(files, training=training))
    assert checks["columns(training)"].observed == {"absent": ["hour"]}
    assert checks["types(training)"].observed == {"x": "string, not double"}
    assert str(checks["unseen(x)"].verdict) == "failed"


def test_without_the_training_the_values_are_skipped_and_nothing_passes_for_it(files):
    checks = judge(SchemaGate(), candidate(files))
    assert str(checks["values"].verdict) == "skipped"
    assert "columns(training)" not in checks


def test_an_empty_holdout_is_no_verdict_about_values(files):
    checks = judge(SchemaGate(), candidate(files, flights().head(0), flights(seed=1)))
    assert str(checks["values"].verdict) == "inconclusive"


def test_a_model_without_a_signature_gets_no_verdict_but_a_line_of_code(tmp_path):
    (check,) = SchemaGate().judge(candidate(save(tmp_path, signature=None)))
    assert str(check.verdict) == "inconclusive"
    assert "signature=mlflow.models.infer_signature(rows)" in check.reason


def test_an_optional_column_may_be_absent_and_may_be_missing(tmp_path):
    seen = flights()[["x", "hour"]].astype("float64").assign(hour=lambda f: f.hour.where(f.x > 0))
    files = save(tmp_path, signature=infer_signature(seen))
    checks = judge(SchemaGate(), candidate(files, flights(seed=2).drop(columns="hour")))
    assert str(checks["columns(holdout)"].verdict) == "passed"
    assert "missing(hour)" not in checks
    assert "missing(x)" in checks


@pytest.mark.parametrize(
    ("max_missing", "verdict"), [(0.0, "failed"), (0.24, "failed"), (0.25, "passed")]
)
def test_values_that_are_required_must_not_be_missing(max_missing, verdict):
    check = judge_missing(column([1.0, None, 2.0, 3.0]), max_missing)
    assert (str(check.verdict), check.observed) == (verdict, 0.25)
    assert ("becomes optional" in check.reason) == (verdict == "failed")


@pytest.mark.parametrize(
    ("values", "learned", "verdict", "share"),
    [
        (["AA", "UA"], ["UA", "AA"], "passed", 0.0),
        (["AA", "UA", "ZZ"], ["UA", "AA"], "failed", 1 / 3),
        (["AA", None], ["AA", "UA"], "failed", 0.5),
        (["AA", None], ["AA", None], "passed", 0.0),
        (["AA"] * 99 + ["ZZ"], ["AA"], "inconclusive", 0.01),
        ([True, False], [True, False], "passed", 0.0),
    ],
)
def test_categories_that_were_never_learned_are_counted(values, learned, verdict, share):
    rows = repeat({"c": values}).c
    check = judge_categories(rows, column(learned), 0.01)
    assert (str(check.verdict), check.rows) == (verdict, 600)
    assert check.observed == pytest.approx(share)
    assert check.interval[0] <= share <= check.interval[1]


def test_unseen_categories_are_named_but_not_all_of_them():
    check = judge_categories(column([f"Z{i}" for i in range(9)]), column(["A"]), 0.01)
    assert check.reason == "Z0, Z1, Z2, Z3, Z4 and 4 more"


def test_three_rows_without_a_strange_category_are_no_pass():
    check = judge_categories(column(["AA"] * 3), column(["AA"]), 0.01)
    assert (str(check.verdict), check.observed) == ("inconclusive", 0.0)
    assert check.rows_needed > 100


@pytest.mark.parametrize(
    ("values", "verdict", "share"),
    [
        ([0.0, 5.0, 10.0], "passed", 0.0),
        ([0.0, 10.1, -0.1, 5.0], "failed", 0.5),
        ([np.inf, 5.0], "failed", 0.5),
        ([np.nan, 5.0], "passed", 0.0),
        ([5], "passed", 0.0),
    ],
)
def test_numbers_beyond_the_training_are_counted(values, verdict, share):
    check = judge_range(repeat({"c": values}).c, column([10.0, np.nan, 0.0]), 0.01)
    assert (str(check.verdict), check.observed) == (verdict, share)
    assert ("[0.0, 10.0]" in check.reason) == (share > 0)


def test_times_after_the_training_are_outside():
    learned = pd.Series(pd.date_range("2013-01-01", periods=9, tz="UTC"), name="c")
    check = judge_range(learned + pd.Timedelta("1D"), learned, 0.01)
    assert check.observed == pytest.approx(1 / 9)


def test_a_range_of_no_values_holds_none():
    check = judge_range(column([1.0] * 500), column([np.nan]), 0.01)
    assert (str(check.verdict), check.observed) == ("failed", 1.0)


@pytest.mark.parametrize("kind", ["tensor", "columns without names"])
def test_inputs_without_names_are_told_apart_by_their_order(tmp_path, kind):
    unnamed = infer_signature(np.zeros((3, 2)))
    if kind != "tensor":
        unnamed.inputs = Schema([ColSpec("double"), ColSpec("double")])
    files = save(tmp_path, signature=unnamed)
    holdout, training = flights(seed=2), flights(seed=1)
    same = judge(SchemaGate(max_outside=0.05), candidate(files, holdout, training))
    assert {str(check.verdict) for check in same.values()} == {"passed"}
    turned = judge(SchemaGate(), candidate(files, holdout[["hour", "late", "x"]], training))
    assert (str(turned["order"].verdict), turned["order"].observed) == ("failed", ["hour", "x"])
    wide = judge(SchemaGate(), candidate(files, holdout.assign(id=1)))
    assert (str(wide["width(holdout)"].verdict), wide["width(holdout)"].observed) == ("failed", 3)
    assert str(wide["order"].verdict) == "skipped"


def test_a_model_of_texts_is_judged_by_its_categories(tmp_path):
    training = flights(seed=1).assign(carrier=lambda f: np.where(f.x > 0, "AA", "UA"))
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]))
    model = make_pipeline(encode, LogisticRegression()).fit(training[["carrier"]], training.late)
    files = save(tmp_path, model, signature=infer_signature(training[["carrier"]]))
    holdout = flights(seed=2).assign(carrier=lambda f: np.where(f.x > 0, "AA", "ZZ"))
    checks = judge(SchemaGate(), candidate(files, holdout, training))
    assert str(checks["unseen(carrier)"].verdict) == "failed"
    assert checks["unseen(carrier)"].reason == "ZZ"


@pytest.mark.parametrize("options", [{"max_unseen": 1}, {"max_outside": -0.1}, {"max_unsen": 0.1}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(GateConfigError, match="gate 'schema'"):
        build_gate("schema", options)
