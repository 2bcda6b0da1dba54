"""The gate `stability`: estimators are really trained anew."""

import mlflow
import numpy as np
import pytest
from judged_candidates import INPUTS, departures, make_candidate, save
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlflow_ext.errors import GateConfigError, UnknownNameError
from mlflow_ext.gates.catalog import build_gate
from mlflow_ext.gates.judging import judge_candidate
from mlflow_ext.gates.stability import draw_rows, judge_spread
from mlflow_ext.records import GateReport, Verdict, from_json, to_json

FOREST = RandomForestClassifier(n_estimators=2, max_depth=3, random_state=0)
TRAINING = departures(400, seed=1)


def build(**options):
    return build_gate("stability", {"metric": "roc_auc", "max_spread": 0.05, **options})


def judge(files, gate, training=TRAINING):
    candidate = make_candidate(files, training=training)
    (report,) = judge_candidate({"stability": gate}, candidate)
    return report.checks[0], candidate.attachments.get("stability"), report


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    return save(tmp_path_factory.mktemp("linear"), pipeline)


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    return save(tmp_path_factory.mktemp("forest"), FOREST)


def test_a_model_that_hardly_depends_on_its_rows_passes(linear):
    check, table, report = judge(linear, build())
    assert (check.name, check.verdict) == ("spread_of_roc_auc", Verdict.PASSED)
    assert check.observed == pytest.approx(table.roc_auc.std())
    assert table.seed.tolist() == list(range(10))
    assert table.roc_auc.nunique() > 1
    assert from_json(GateReport, to_json(report)) == report


def test_a_model_that_depends_on_its_rows_fails(forest):
    check, table, _ = judge(forest, build(max_spread=0.0001, refits=20))
    assert check.verdict is Verdict.FAILED
    assert check.interval[0] > 0.0001
    assert f"20 refits, from {table.roc_auc.min():.6g} to {table.roc_auc.max():.6g}" in check.reason


def test_the_same_seed_gives_the_same_refits_and_another_others(forest):
    tables = [judge(forest, build(refits=3, seed=seed))[1].roc_auc for seed in (0, 0, 7)]
    assert tables[0].tolist() == tables[1].tolist()
    assert set(tables[0]).isdisjoint(tables[2])


def test_by_seed_alone_the_rows_stay_as_they_are(linear, forest):
    same, _, _ = judge(linear, build(vary="seed", metric="brier"))
    other, _, _ = judge(forest, build(vary="seed", metric="brier", max_spread=0.5))
    assert (same.observed, same.verdict) == (pytest.approx(0, abs=1e-12), Verdict.PASSED)
    assert other.observed > 1e-6


def test_a_spread_that_may_be_either_says_how_many_refits_would_tell():
    values = np.array([0.70, 0.72, 0.74])
    check = judge_spread(build(max_spread=0.03, refits=3), values)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.observed == pytest.approx(0.02)
    assert "more would settle it" in check.reason
    assert (check.rows, check.rows_needed) == (None, None)


def test_a_metric_that_is_undefined_for_a_refit_is_inconclusive():
    check = judge_spread(build(metric="precision"), np.array([0.7, np.nan, 0.7]))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "precision is undefined for 1 of 3 refits" in check.reason


def test_without_training_rows_it_is_skipped(linear):
    check, table, report = judge(linear, build(), training=None)
    assert (check.verdict, report.verdict, table) == (Verdict.SKIPPED, Verdict.SKIPPED, None)
    assert "nobody says which rows it has learned from" in check.reason


def test_an_estimator_without_a_seed_is_skipped_by_seed(tmp_path):
    check, _, _ = judge(save(tmp_path, GaussianNB()), build(vary="seed"))
    assert check.verdict is Verdict.SKIPPED
    assert "no parameter 'random_state'" in check.reason


def test_a_model_that_is_no_estimator_is_skipped(tmp_path):
    class Constant(mlflow.pyfunc.PythonModel):
        """Says the same of every row."""

        def predict(self, context, model_input, params=None):
            return [0.5] * len(model_input)

    signature = infer_signature(departures()[INPUTS])
    files = tmp_path / "model"
    mlflow.pyfunc.save_model(files, python_model=Constant(), signature=signature)
    check, _, _ = judge(files, build())
    assert check.verdict is Verdict.SKIPPED
    assert "not a scikit-learn estimator" in check.reason


def test_training_rows_without_the_target_reach_no_verdict(linear):
    check, _, _ = judge(linear, build(), training=TRAINING.drop(columns="late"))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "it has no column 'late'" in check.reason


def test_no_class_vanishes_and_no_more_rows_are_drawn_than_allowed():
    labels = np.r_[np.ones(3, dtype=int), np.zeros(997, dtype=int)]
    for is_anew in (True, False):
        drawn = draw_rows(labels, 200, is_anew, np.random.default_rng(0))
        assert len(drawn) == 200
        assert labels[drawn].sum() == 1
        assert (len(np.unique(drawn)) == 200) is not is_anew


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"metric": "roc_acu"}, UnknownNameError, "write 'roc_auc'"),
        ({"refits": 1}, GateConfigError, "greater than or equal to 3"),
        ({"vary": "weather"}, GateConfigError, "'rows' or 'seed'"),
    ],
)
def test_a_wrong_option_is_an_error(options, error, said):
    with pytest.raises(error, match=said):
        build(**options)
