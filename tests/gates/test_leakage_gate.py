"""The gate `leakage`: what gives the outcome away, and what was learned by heart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from gate_candidates import candidate, judge, save, verdicts
from judged_models import fit_blind, flights

from mlflow_ext.errors import GateConfigError, TableError, UnknownNameError, UnusableModelError
from mlflow_ext.evaluation.statistics.overlap import find_shared
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.leakage import LeakageGate, judge_feature

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "leakage.yaml").read_text())
ROWS = 1000
RANDOM = np.random.default_rng(3)
LABELS = (RANDOM.random(ROWS) < 0.3).astype(int)
NOISE = RANDOM.normal(size=ROWS)


def feature(values, name="f"):
    return pd.Series(values, name=name)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    rows, others = pd.DataFrame(case["rows"]), pd.DataFrame(case["others"])
    shared = find_shared(rows, others, list(rows), once=case.get("once", False))
    assert shared.tolist() == case["shared"]


def test_an_honest_model_on_rows_that_it_has_never_seen_passes(files):
    gate = LeakageGate(known_afterwards=("arrival_delay",), max_auc=0.99)
    assert verdicts(gate, candidate(files, training=flights(seed=1))) == {
        "known_afterwards": "passed",
        "auc_alone(x)": "passed",
        "auc_alone(hour)": "passed",
        "shared_rows": "passed",
    }


def test_an_input_that_is_known_afterwards_fails_and_is_named(files):
    check = judge(LeakageGate(known_afterwards=("hour", "gate")), candidate(files))
    assert check["known_afterwards"].observed == ["hour"]
    assert check["known_afterwards"].verdict == "failed"


def test_rows_of_the_training_in_the_holdout_fail_and_one_is_shown(files):
    holdout = flights(seed=2)
    training = pd.concat([flights(seed=1), holdout.tail(30)]).astype({"hour": "float64"})
    check = judge(LeakageGate(), candidate(files, holdout, training))["shared_rows"]
    assert (str(check.verdict), check.observed, check.rows) == ("failed", 0.1, 300)
    assert check.reason == "30 of 300 rows were learned from"
    assert check.example == {k: str(v) for k, v in holdout.iloc[270].items()}
    bearable = judge(LeakageGate(max_shared=0.1), candidate(files, holdout, training))
    assert bearable["shared_rows"].verdict == "passed"


def test_equal_rows_of_different_cases_are_told_apart_by_their_keys(files):
    holdout, training = (flights(seed=2).assign(id=range(start, start + 300)) for start in (0, 300))
    copies = candidate(files, holdout, training)
    assert judge(LeakageGate(), copies)["shared_rows"].observed == 1.0
    assert judge(LeakageGate(keys=("id",)), copies)["shared_rows"].observed == 0.0
    with pytest.raises(UnknownNameError, match="unknown column 'ids' in holdout"):
        judge(LeakageGate(keys=("ids",)), copies)


def test_who_has_no_training_rows_gets_no_pass(files):
    check = judge(LeakageGate(), candidate(files))["shared_rows"]
    assert (str(check.verdict), check.observed) == ("skipped", None)
    assert "nobody says which rows" in check.reason


def test_an_input_that_is_the_outcome_fails_alone(tmp_path):
    rows = flights(seed=2).assign(hour=lambda frame: 10 - frame.late)
    files = save(tmp_path, fit_blind())
    checks = judge(LeakageGate(), candidate(files, rows))
    assert str(checks["auc_alone(hour)"].verdict) == "failed"
    assert checks["auc_alone(hour)"].observed == 1.0


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (LABELS * 100.0 + NOISE, "failed"),
        (-LABELS * 100.0 + NOISE, "failed"),
        (LABELS.astype(bool), "failed"),
        (pd.to_datetime("2013-01-01") + pd.to_timedelta(LABELS * 1440 + NOISE, "min"), "failed"),
        (np.where(LABELS, np.nan, NOISE), "failed"),
        (np.where(LABELS, "late", "on time"), "failed"),
        (np.where(LABELS, None, "on time"), "failed"),
        (pd.Categorical(np.where(LABELS, "late", "on time")), "failed"),
        (NOISE, "passed"),
        (LABELS * 0.5 + NOISE, "passed"),
        (np.full(ROWS, 7), "passed"),
        (np.full(ROWS, np.nan), "passed"),
        (np.full(ROWS, "JFK"), "passed"),
        ([f"N{row}" for row in range(ROWS)], "passed"),
        (RANDOM.choice(["AA", "UA", None], ROWS), "passed"),
        ([f"N{row // 2}" for row in range(ROWS)], "passed"),
    ],
)
def test_only_what_tells_the_outcome_alone_is_suspicious(values, verdict):
    check = judge_feature(feature(values), LABELS, 0.95)
    assert str(check.verdict) == verdict
    low, high = check.interval
    assert low <= check.observed <= high


def test_few_rows_of_a_perfect_input_are_no_proof():
    labels = np.array([0, 1, 0, 1, 0, 1])
    check = judge_feature(feature(labels * 1.0), labels, 0.95)
    assert (str(check.verdict), check.observed) == ("inconclusive", 1.0)
    assert check.rows_needed > 0


def test_one_class_says_nothing():
    check = judge_feature(feature(NOISE), np.ones(ROWS, int), 0.95)
    assert (str(check.verdict), check.observed) == ("inconclusive", None)


def test_a_holdout_that_cannot_be_asked_gets_no_verdict(files):
    with pytest.raises(TableError, match="no rows"):
        judge(LeakageGate(), candidate(files, flights().head(0)))
    with pytest.raises(UnusableModelError, match="it needs the column 'x'"):
        judge(LeakageGate(), candidate(files, flights().drop(columns="x")))


def test_without_a_signature_every_column_but_the_target_is_an_input(tmp_path):
    files = save(tmp_path, signature=None)
    gate = LeakageGate(known_afterwards=("gate",))
    checks = judge(gate, candidate(files, flights(seed=2).assign(gate=1)))
    assert checks["known_afterwards"].observed == ["gate"]


@pytest.mark.parametrize("options", [{"max_auc": 0.5}, {"max_shared": 1}, {"max_aucs": 0.9}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(GateConfigError, match="gate 'leakage'"):
        build_gate("leakage", options)
