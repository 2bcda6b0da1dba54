"""Whatever is wrong with the input is told in one message, and nothing is half-done."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.entities import ViewType
from servers import free_port
from small_project import ROOT, make_project, sample

from pipelines.__main__ import step_command
from pipelines.main import run

OPTIONS = {"through": "2013-04", "reuse": True, "n_trials": None, "timeout": None, "study": ""}


@pytest.fixture
def small(tracking, tmp_path):
    """The small project in the working directory, on a fresh store."""
    return make_project(tmp_path)


def all_runs():
    return mlflow.search_runs(output_format="list", run_view_type=ViewType.ALL)


def steps_begun():
    tags = [run.data.tags for run in all_runs()]
    return {tag["mlflow_ext.step"] for tag in tags if "mlflow_ext.step" in tag}


def assert_no_verdict(capsys, *words, until="promote", **options):
    """The flow ends with 2, says *words*, and leaves no run that pretends to have worked."""
    assert run(until, {**OPTIONS, **options}) == 2
    said = capsys.readouterr().err
    for word in (*words, "expected:", "fix:"):
        assert word in said
    assert "Traceback" not in said
    assert "RUNNING" not in {run.info.status for run in all_runs()}


@pytest.mark.parametrize("through", ["2013-13", "June", "2013"])
def test_what_is_no_month(small, capsys, through):
    assert_no_verdict(capsys, f"'{through}' is no month", through=through)


def test_month_without_rows(small, capsys):
    words = ("no rows for 2013-05", "-P through=2013-04")
    assert_no_verdict(capsys, *words, through="2013-05")


def test_too_few_months_to_train_on(small, capsys):
    assert_no_verdict(capsys, "leaves no month to train on", "2013-03", through="2013-02")


def test_source_file_that_is_missing(small, capsys):
    (small / "weather.csv").unlink()
    assert_no_verdict(capsys, "source 'weather'", "weather.csv")


def test_source_file_that_is_truncated(tracking, tmp_path, capsys):
    make_project(tmp_path, {"sources.flights.location": "flights.csv.zip"})
    archive = tmp_path / "flights.csv.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(tmp_path / "flights.csv", "flights.csv")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    assert_no_verdict(capsys, "source 'flights'", "flights.csv.zip")


def test_source_without_rows(tracking, tmp_path, capsys):
    make_project(tmp_path, frames={"weather": sample()["weather"].head(0)})
    assert_no_verdict(capsys, "source 'weather'")


def test_source_that_lost_a_column(tracking, tmp_path, capsys):
    renamed = sample()["planes"].rename(columns={"seats": "seat"})
    make_project(tmp_path, frames={"planes": renamed})
    assert_no_verdict(capsys, "source 'planes'", "seats")


def test_package_that_is_not_installed(tracking, tmp_path, capsys):
    make_project(tmp_path, {"sources.planes.location": "package://nycflights99/planes.csv"})
    assert_no_verdict(capsys, "nycflights99", "pip install")


def test_suite_that_names_a_column_that_is_not_there(small, capsys):
    suite = small / "expectations" / "flights_raw.json"
    suite.write_text(suite.read_text().replace('"column": "tailnum"', '"column": "tailnumber"'))
    assert_no_verdict(capsys, "flights_raw", "tailnumber", "tailnum")


def test_suite_that_is_missing(small, capsys):
    (small / "expectations" / "features.json").unlink()
    assert_no_verdict(capsys, "unknown suite 'expectations/features.json'")


def test_feature_that_is_null_in_every_row(tracking, tmp_path, capsys):
    make_project(tmp_path, frames={"planes": sample()["planes"].assign(seats=float("nan"))})
    assert_no_verdict(capsys, "'seats' is null in all")


def test_target_with_one_class(tracking, tmp_path, capsys):
    flights = sample()["flights"]
    punctual = flights.assign(arr_delay=flights["arr_delay"].clip(upper=0))
    make_project(tmp_path, frames={"flights": punctual})
    assert_no_verdict(capsys, "target 'late' holds 0")


def test_mistake_in_the_project_file(small, capsys):
    file = small / "project.yaml"
    file.write_text(file.read_text().replace("goal:", "gaol:"))
    assert_no_verdict(capsys, "project.yaml:2: unknown key 'gaol'", "'goal'")


NAMES = {
    "unknown metric": ("metric: brier", "metric: brir", "unknown metric 'brir'"),
    "loss to be maximized": (
        "metric: brier\n  direction: min",
        "metric: brier\n  direction: max",
        "brier",
    ),
    "unknown gate": ("- champion", "- champoin", "unknown gate 'champoin'"),
    "unknown source": ("  planes:", "  plains:", "unknown source 'plains'"),
    "unknown table": ("features: expectations", "feature: expectations", "unknown suite for table"),
    "unknown estimator": ("HistGradientBoosting", "HistGradientBosting", "HistGradientBoosting"),
    "unknown parameter": ("max_iter:", "max_iters:", "max_iter"),
}


@pytest.mark.parametrize(("right", "wrong", "word"), NAMES.values(), ids=NAMES.keys())
def test_wrong_name_is_told_before_anything_runs(small, capsys, right, wrong, word):
    file = small / "project.yaml"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong, 1))
    assert_no_verdict(capsys, word)
    assert all_runs() == []


def test_table_without_a_suite_is_told_before_anything_runs(small, capsys):
    file = small / "project.yaml"
    lines = file.read_text().splitlines()
    kept = [line for line in lines if "expectations/features.json" not in line]
    file.write_text("\n".join(kept))
    assert_no_verdict(capsys, "names no suite for table 'features'")
    assert all_runs() == []


@pytest.mark.parametrize("words", [["--n-trials", "many"], ["--n-trials", "0"], ["--reuse", "5"]])
def test_parameter_of_the_wrong_type(words):
    told = CliRunner().invoke(step_command("main"), words)
    assert told.exit_code == 2
    assert words[1] in told.output


@pytest.mark.parametrize("text", ["12", "12.0"])
def test_whole_number_may_come_as_mlflow_writes_it(text):
    (option,) = [p for p in step_command("tune").params if p.name == "n_trials"]
    assert option.type.convert(text, None, None) == 12


def test_tracking_server_that_does_not_answer(small, capsys):
    url = f"http://127.0.0.1:{free_port()}"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(url)
    try:
        assert run("ingest", OPTIONS) == 2
    finally:
        mlflow.set_tracking_uri(before)
    said = capsys.readouterr().err
    assert url in said
    assert "mlflow-ext doctor" in said
    assert "Traceback" not in said


def test_artifact_folder_that_cannot_be_written(tmp_path):
    make_project(tmp_path)
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    artifacts = tmp_path / "mlruns"
    artifacts.mkdir()
    artifacts.chmod(0o555)
    command = [sys.executable, "-m", "pipelines", "ingest", "--through", "2013-04"]
    # The superuser writes everywhere; without these two powers even it obeys the permissions.
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
    done = subprocess.run(
        [*(drop if os.geteuid() == 0 else []), *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "artifact store at" in done.stderr
    assert "writable" in done.stderr
    assert "Traceback" not in done.stderr


def test_failed_suite_stops_before_training_with_a_line_and_a_row(tracking, tmp_path, capsys):
    flights = sample()["flights"]
    broken = flights.assign(origin=flights["origin"].where(flights.index != 7, "XXX"))
    make_project(tmp_path, frames={"flights": broken})
    assert run("promote", OPTIONS) == 1
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if "distinct_values_to_equal_set" in line]
    assert "table:flights_raw" in line
    assert "XXX" in line
    assert "origin=XXX" in line.split("for example", 1)[1]
    assert steps_begun() == {"ingest", "validate"}
    assert {run.info.status for run in all_runs()} == {"FINISHED", "FAILED"}


def test_warning_does_not_stop(tracking, tmp_path, capsys):
    suite = make_project(tmp_path) / "expectations" / "flights_raw.json"
    document = json.loads(suite.read_text())
    rule = {
        "type": "expect_column_max_to_be_between",
        "kwargs": {"column": "month", "max_value": 1},
    }
    document["expectations"].append({**rule, "meta": {"severity": "warn"}})
    suite.write_text(json.dumps(document))
    assert run("validate", OPTIONS) == 0
    document["expectations"][-1]["meta"] = {"severity": "block"}
    suite.write_text(json.dumps(document))
    assert run("validate", OPTIONS) == 1


def test_refused_version_stays_where_it_is_and_says_why(small, tracking, capsys):
    assert run("promote", OPTIONS) == 1
    said = capsys.readouterr()
    assert "Staging: gate metrics: failed: roc_auc failed" in said.err
    assert "stage **None**" in said.out
    assert tracking.get_model_version("flight-delay", "1").current_stage == "None"
    assert tracking.get_model_version("flight-delay", "1").tags["gate.data"] == "passed"
    (judged,) = [run for run in all_runs() if run.data.tags.get("mlflow_ext.step") == "gate"]
    assert judged.data.tags["gate.metrics"] == "failed"
    files = tracking.list_artifacts(judged.info.run_id, "gates")
    assert {file.path for file in files} == {
        "gates/champion.json",
        "gates/report.html",
        "gates/data.json",
        "gates/metrics.json",
    }
