"""What a second call does again, and what it does not."""

import re

import mlflow
import pytest
from small_project import be_lenient, make_project

from mlflow_ext.lineage import steps
from pipelines.main import run

OPTIONS = {"through": "2013-04", "reuse": True, "n_trials": None, "timeout": None, "study": ""}


@pytest.fixture
def small(tracking, tmp_path):
    return make_project(tmp_path)


def lines(capsys):
    """What became of each step, as the progress lines tell it."""
    told = capsys.readouterr().err.splitlines()
    words = [line.split() for line in told if line.startswith("[")]
    return {word[1]: word[2] for word in words}


def trials():
    found = mlflow.search_runs(output_format="list")
    return [run for run in found if "mlflow_ext.trial" in run.data.tags]


def test_reuse_switched_off_does_everything_anew(small, capsys):
    assert run("tune", OPTIONS) == 0
    assert run("tune", OPTIONS | {"reuse": False}) == 0
    assert set(lines(capsys).values()) == {"ran"}
    assert len(trials()) == 4
    assert len({trial.data.tags["mlflow_ext.study"] for trial in trials()}) == 2
    assert run("tune", OPTIONS) == 0
    assert set(lines(capsys).values()) == {"reused"}


def test_study_goes_on_by_its_name_when_more_trials_are_asked_for(small, capsys):
    assert run("tune", OPTIONS | {"study": "delays", "n_trials": 2}) == 0
    assert run("tune", OPTIONS | {"study": "delays", "n_trials": 5}) == 0
    assert lines(capsys)["features"] == "reused"
    assert {trial.data.tags["mlflow_ext.study"] for trial in trials()} == {"delays"}
    assert len(trials()) == 5
    assert len({trial.data.tags["mlflow.parentRunId"] for trial in trials()}) == 1


def test_study_of_another_search_is_refused_by_name(small, capsys):
    assert run("tune", OPTIONS | {"study": "delays"}) == 0
    file = small / "project.yaml"
    file.write_text(file.read_text().replace("high: 10", "high: 20"))
    assert run("tune", OPTIONS | {"study": "delays"}) == 2
    assert "begun with another search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("was", "becomes"),
    [("pruner: median", "pruner: none"), ("metric: roc_auc", "metric: average_precision")],
)
def test_changed_search_begins_a_study_of_its_own(small, capsys, was, becomes):
    assert run("tune", OPTIONS) == 0
    file = small / "project.yaml"
    head, search = file.read_text().split("search:")
    assert was in search
    file.write_text(f"{head}search:{search.replace(was, becomes, 1)}")
    assert run("tune", OPTIONS) == 0
    assert lines(capsys)["tune"] == "ran"
    assert len(trials()) == 4


def test_study_made_by_other_code_is_not_gone_on_with(small, capsys, monkeypatch):
    assert run("tune", OPTIONS) == 0
    versions = steps._library_versions
    monkeypatch.setattr(steps, "_library_versions", lambda: versions() | {"scikit-learn": "0"})
    assert run("tune", OPTIONS) == 0
    assert lines(capsys)["tune"] == "ran"
    assert len(trials()) == 4


def test_summary_says_when_a_kpi_is_undefined(small, capsys):
    """The model of few flights never dares to say "late" at 0.999: precision has no value."""
    file = small / "project.yaml"
    text = file.read_text().replace("decision_threshold: 0.3", "decision_threshold: 0.999")
    file.write_text(text.replace("metric: average_precision", "metric: precision", 1))
    assert run("promote", OPTIONS) == 1
    said = capsys.readouterr()
    assert "| precision | undefined |" in said.out
    assert "metrics inconclusive: precision: observed None" in said.err


def test_every_page_that_the_description_links_to_is_there(small, tracking):
    run("gate", OPTIONS)
    (job,) = [
        r
        for r in mlflow.search_runs(output_format="list")
        if r.info.run_name.endswith(OPTIONS["through"])
    ]
    links = re.findall(r"runs/(\w+)/artifacts/([^)]+)", job.data.tags["mlflow.note.content"])
    assert {path for _, path in links} >= {"validation/flights_raw.html", "gates/report.html"}
    for run_id, path in links:
        folder = path.rpartition("/")[0]
        assert path in {file.path for file in tracking.list_artifacts(run_id, folder)}


def test_changed_kpi_judges_again_without_training_again(small, capsys):
    assert run("promote", OPTIONS) == 1
    capsys.readouterr()
    be_lenient(small / "project.yaml")
    assert run("promote", OPTIONS) == 0
    told = lines(capsys)
    assert (told["tune"], told["train"], told["gate"]) == ("reused", "reused", "ran")


def test_changed_source_is_read_again(small, capsys):
    assert run("features", OPTIONS) == 0
    weather = small / "weather.csv"
    rows = weather.read_text().splitlines()
    weather.write_text("\n".join(rows[:-1]) + "\n")
    assert run("features", OPTIONS) == 0
    told = lines(capsys)
    assert told["ingest"] == "ran"


def test_champion_that_knows_the_month_is_no_yardstick(small, tracking, capsys):
    be_lenient(small / "project.yaml")
    assert run("promote", OPTIONS) == 0
    capsys.readouterr()
    assert run("promote", OPTIONS | {"through": "2013-03"}) == 1
    assert "unseen_rows inconclusive: observed ['2013-03']" in capsys.readouterr().err
    stages = [tracking.get_model_version("flight-delay", v).current_stage for v in ("1", "2")]
    assert stages == ["Production", "Staging"]
