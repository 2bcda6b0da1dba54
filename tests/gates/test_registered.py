"""Registered versions of any origin, judged from a file by gates they know nothing of."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from judged_models import (
    CHAMPION,
    KPI,
    declare,
    fit,
    fit_blind,
    flights,
    register,
    register_logged,
)
from mlflow.models import infer_signature
from sklearn.svm import LinearSVC

from mlflow_ext.data.fingerprint import fingerprint_file
from mlflow_ext.errors import (
    ModelNotFoundError,
    ProjectFileError,
    SourceError,
    StoreUnreachableError,
    TableError,
    UnknownNameError,
)
from mlflow_ext.gates.declaration import read_declaration
from mlflow_ext.gates.registered import JudgeContext, judge_version

INPUTS = ["x", "hour"]


def judge(client, file, version=1, model="delay", **options):
    """Gate -> its report."""
    context = JudgeContext(client=client)
    reports = judge_version(context, read_declaration(file), model, version, **options)
    return {report.gate: report for report in reports}


def verdict_of(report):
    """The one line of a gate that has reached no verdict, on one line."""
    (check,) = report.checks
    assert (check.name, str(check.verdict)) == ("verdict", "inconclusive")
    return " ".join(check.reason.split())


def log_pyfunc(function):
    """Log a Python function as a model that answers with what it returns."""

    class Answering(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return function(model_input)

    with mlflow.start_run():
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=Answering(),
            pip_requirements=["mlflow"],
            signature=infer_signature(flights()[INPUTS].astype("float64")),
        )


def suite(**kwargs):
    expectation = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "hour"}}
    expectation["kwargs"] |= kwargs
    Path("holdout.json").write_text(json.dumps({"name": "h", "expectations": [expectation]}))
    return {"data": {"suite": "holdout.json"}}


def test_a_good_model_passes_every_declared_gate(tracking):
    register(tracking, fit())
    gates = suite(min_value=0, max_value=23) | {"metrics": {"kpis": [KPI]}, "champion": CHAMPION}
    reports = judge(tracking, declare(gates=gates))
    verdicts = {gate: str(report.verdict) for gate, report in reports.items()}
    assert verdicts == dict.fromkeys(("data", "metrics", "champion"), "passed")
    digest = fingerprint_file(Path("holdout.parquet")).digest
    for report in reports.values():
        assert report.subject == "models:/delay/1"
        assert report.fingerprints == {"holdout": digest}
    assert reports["champion"].checks[-1].name.startswith("roc_auc against the base rate")


def test_a_blind_model_fails_and_says_by_how_much(tracking):
    register(tracking, fit_blind())
    reports = judge(tracking, declare())
    assert str(reports["metrics"].verdict) == "failed"
    assert str(reports["champion"].verdict) == "inconclusive"  # it is the base rate
    (kpi,) = reports["metrics"].checks
    assert (kpi.observed, kpi.expected, kpi.rows) == (0.5, ">= 0.7 at 95% confidence", 300)


def test_rows_that_break_the_suite_fail_the_data_gate_alone(tracking):
    register(tracking, fit())
    gates = suite(min_value=5) | {"metrics": {"kpis": [KPI]}}
    reports = judge(tracking, declare(gates=gates))
    assert (str(reports["data"].verdict), str(reports["metrics"].verdict)) == ("failed", "passed")


def make_stage(client):
    client.transition_model_version_stage("delay", "1", "Production")


def make_alias(client):
    client.set_registered_model_alias("delay", "champion", "1")


@pytest.mark.parametrize("make_champion", [make_stage, make_alias])
def test_the_opponent_is_what_is_live_whether_by_stage_or_by_alias(tracking, make_champion):
    register(tracking, fit())
    worse = register(tracking, fit_blind())
    make_champion(tracking)
    report = judge(tracking, declare(), worse)["champion"]
    assert report.checks[-1].name == "roc_auc against models:/delay/1"
    assert str(report.verdict) == "failed"
    own = judge(tracking, declare())["champion"]
    assert own.checks[-1].name.startswith("roc_auc against the base rate")


@pytest.mark.parametrize(
    "answer",
    [
        lambda rows: (rows.x > 0) * 0.8,
        lambda rows: pd.DataFrame({"0": 1 - (rows.x > 0) * 0.8, "1": (rows.x > 0) * 0.8}),
        lambda rows: pd.DataFrame({"1": (rows.x > 0) * 0.8, "0": 1 - (rows.x > 0) * 0.8}),
    ],
    ids=["one column", "both classes", "both classes, the other way round"],
)
def test_a_pyfunc_that_returns_probabilities_is_judged(tracking, answer):
    register_logged(tracking, log_pyfunc(answer))
    assert str(judge(tracking, declare())["metrics"].verdict) == "passed"


def broken(rows):
    raise ValueError("no sensor")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (lambda rows: (rows.x > 0).astype(int), "of int"),
        (lambda rows: rows.assign(a=0.5, b=0.5)[["a", "b"]], r"\['a', 'b'\]"),
        (broken, "ValueError: no sensor"),
    ],
    ids=["classes", "columns that name no class", "exception"],
)
def test_a_pyfunc_that_returns_no_probability_of_the_class_gets_no_verdict(tracking, answer, found):
    register_logged(tracking, log_pyfunc(answer))
    said = verdict_of(judge(tracking, declare())["metrics"])
    assert re.search(f"models:/delay/1: .*{found}", said)


def test_an_estimator_without_probabilities_gets_no_verdict(tracking):
    register(tracking, fit(LinearSVC()))
    assert "predict_proba" in verdict_of(judge(tracking, declare())["metrics"])


def test_a_csv_with_named_classes_is_judged_by_the_class_that_counts(tracking):
    frame = flights(seed=1)
    model = fit().fit(frame[INPUTS], frame.late.map({0: "no", 1: "yes"}))
    register(tracking, model)
    truth = flights(seed=2)
    truth.assign(late=truth.late.map({0: "no", 1: "yes"})).to_csv("holdout.csv", index=False)
    declared = {"data": "holdout.csv", "target": {"column": "late", "positive": "yes"}}
    report = judge(tracking, declare(**declared))["metrics"]
    assert str(report.verdict) == "passed"
    assert report.fingerprints == {"holdout": fingerprint_file(Path("holdout.csv")).digest}


def test_a_model_is_never_shown_the_target(tracking):
    signature = infer_signature(flights().astype("float64"))
    register(tracking, fit(), signature=signature)
    assert "needs the column 'late'" in verdict_of(judge(tracking, declare())["champion"])


def test_without_a_signature_the_model_gets_every_column_but_the_target(tracking):
    register(tracking, fit(), signature=None)
    assert str(judge(tracking, declare())["metrics"].verdict) == "passed"


def test_the_files_that_are_given_are_the_files_that_are_judged(tracking, tmp_path):
    register(tracking, fit())
    register(tracking, fit_blind())
    uri = tracking.get_model_version_download_uri("delay", "2")
    copy = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "copy"))
    report = judge(tracking, declare(), files=Path(copy))["metrics"]
    assert (report.subject, str(report.verdict)) == ("models:/delay/1", "failed")


def test_a_version_whose_files_are_gone_gets_no_verdict(tracking):
    register(tracking, fit())
    shutil.rmtree(tracking.get_model_version_download_uri("delay", "1").removeprefix("file:"))
    with pytest.raises(StoreUnreachableError, match="model store at models:/delay/1"):
        judge(tracking, declare())


def test_a_version_whose_files_do_not_load_gets_no_verdict(tracking):
    register(tracking, fit())
    folder = Path(tracking.get_model_version_download_uri("delay", "1").removeprefix("file:"))
    (folder / "model.pkl").write_bytes(b"no model")
    gates = suite(min_value=0, max_value=23) | {"metrics": {"kpis": [KPI]}}
    reports = judge(tracking, declare(gates=gates))
    assert "it cannot be loaded" in verdict_of(reports["metrics"])
    assert str(reports["data"].verdict) == "passed"


def test_a_champion_that_no_longer_loads_leaves_the_comparison_open(tracking):
    register(tracking, fit())
    challenger = register(tracking, fit())
    make_alias(tracking)
    folder = Path(tracking.get_model_version_download_uri("delay", "1").removeprefix("file:"))
    (folder / "model.pkl").write_bytes(b"no model")
    reports = judge(tracking, declare(), challenger)
    assert "models:/delay/1: it cannot be loaded" in verdict_of(reports["champion"])
    assert str(reports["metrics"].verdict) == "passed"


def test_what_is_not_there_is_told_with_what_is(tracking):
    register(tracking, fit())
    with pytest.raises(UnknownNameError, match=r"unknown model 'dealy' in gates.yaml[^$]*'delay'"):
        judge(tracking, declare(), model="dealy")
    with pytest.raises(ModelNotFoundError, match=r"version 9 of model 'delay'[^$]*one of 1"):
        judge(tracking, declare(), version=9)
    with pytest.raises(SourceError, match="there is no file"):
        judge(tracking, declare(data="nowhere.parquet"))


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ({"column": "lat"}, "no column 'lat'"),
        ({"column": "late", "positive": "1"}, "'late' is never '1'"),
    ],
)
def test_a_target_that_the_data_does_not_hold_is_told(tracking, target, found):
    register(tracking, fit())
    with pytest.raises(TableError, match=found):
        judge(tracking, declare(target=target))


def test_rows_without_truth_are_told(tracking):
    register(tracking, fit())
    file = declare()
    truth = flights(seed=2).assign(late=lambda f: f.late.where(f.index > 2))
    truth.to_parquet("holdout.parquet")
    with pytest.raises(TableError, match="'late' is missing in 3 of 300 rows"):
        judge(tracking, file)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"gates": {}}, "models.delay.gates"),
        ({"gates": {"champoin": CHAMPION}}, "unknown gate 'champoin'[^$]*write 'champion'"),
        ({"gates": {"metrics": {"kpi": [KPI]}}}, "rename it to 'kpis'"),
        ({"gates": {"metrics": {"kpis": []}}}, "gates.yaml:[0-9]+: [^$]*'kpis'"),
        ({"treshold": 0.2}, "rename it to 'decision_threshold'"),
    ],
)
def test_a_mistake_in_the_file_names_its_place(tmp_path, changes, found):
    with pytest.raises(ProjectFileError, match=found):
        read_declaration(declare(tmp_path, **changes))


def test_a_metric_is_checked_before_any_model_is_looked_for(tracking):
    kpi = {**KPI, "metric": "rmse", "direction": "minimize"}
    with pytest.raises(ProjectFileError, match="unknown metric 'rmse'"):
        judge(tracking, declare(gates={"metrics": {"kpis": [kpi]}}))
    with pytest.raises(ProjectFileError, match="direction 'maximize'"):
        judge(tracking, declare(gates={"champion": {**CHAMPION, "direction": "minimize"}}))
