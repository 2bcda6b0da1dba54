"""One page of plots that needs no network, and the study's summary on its run."""

import json
import math
import re
from dataclasses import replace

import mlflow
import optuna
import pytest
from plotly.offline import get_plotlyjs
from tiny_study import NAME, SEARCH, make_task

from mlflow_ext.tuning import tune
from mlflow_ext.tuning.attributes import STUDY_ID
from mlflow_ext.tuning.plots import LEADERBOARD, render_plots

TITLES = ["History", "Importances", "Parallel coordinates", "Slices"]


def study_of(*values, params=2, name=NAME):
    study = optuna.create_study(study_name=name, sampler=optuna.samplers.RandomSampler(seed=0))
    for value in values:
        trial = study.ask()
        for number in range(params):
            trial.suggest_float(f"p{number}", 0, 1)
        study.tell(trial, value)
    return study


def sections(page):
    parts = re.split(r"<h2>(.*?)</h2>", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_holds_every_plot_and_loads_nothing_from_anywhere():
    page = render_plots(study_of(1.0, 3.0, 2.0, 5.0, 4.0), "roc_auc")

    assert list(sections(page)) == TITLES
    assert all("Plotly.newPlot" in part for part in sections(page).values())
    own = page.replace(get_plotlyjs(), "")
    assert len(own) < len(page) / 10
    assert not re.search(r"<script[^>]+src|<link|<img|<iframe|import\(|@import|fetch\(", own)
    assert len(page) < 8_000_000


@pytest.mark.parametrize("values", [(), (math.inf,), (1.0,), (math.inf, -math.inf), (2.0, 2.0)])
def test_what_cannot_be_drawn_is_said_instead(values):
    parts = sections(render_plots(study_of(*values), "roc_auc"))

    assert list(parts) == TITLES
    assert "Not drawn: " in parts["Importances"]
    for part in parts.values():
        assert ("Plotly.newPlot" in part) != ("Not drawn: " in part)


def test_one_parameter_is_enough_for_a_page():
    parts = sections(render_plots(study_of(1.0, 2.0, 3.0, params=1), "roc_auc"))

    assert all("Plotly.newPlot" in part for part in parts.values())


def test_the_name_of_a_study_cannot_break_the_page():
    page = render_plots(study_of(1.0, 2.0, name="</title><script>alert('x')</script>"), "auc")

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.fixture
def tuned(tracking, tmp_path):
    search = replace(SEARCH, n_trials=12)
    with mlflow.start_run() as run:
        result = tune(make_task(tmp_path / "studies", search))
    return tracking, run.info.run_id, result


def test_the_leaderboard_is_a_table_with_the_best_trial_first(tuned):
    _, run_id, result = tuned
    table = mlflow.load_table(LEADERBOARD, run_ids=[run_id])

    assert len(table) == 12
    assert table["trial"][0] == result.best_trial
    assert table["value"][0] == result.best_value
    assert {"trial", "state", "value", "seconds", *SEARCH.space} <= set(table.columns)
    complete = table[table["state"] == "COMPLETE"]
    assert complete["value"].is_monotonic_decreasing
    assert complete.index.tolist() == list(range(len(complete)))


def test_the_run_of_the_study_carries_its_summary(tuned):
    client, run_id, result = tuned
    data = client.get_run(run_id).data

    assert data.params["study.name"] == NAME
    assert (data.params["study.seed"], data.params["study.sampler"]) == ("3", "tpe")
    assert data.metrics["study.best_roc_auc"] == result.best_value
    assert data.metrics["study.n_complete"] == result.n_complete
    assert json.loads(data.tags["mlflow_ext.study.best_params"]) == result.best_params
    assert f"optuna {optuna.__version__}" in data.tags["mlflow_ext.study.versions"]
    assert re.fullmatch("[0-9a-f]{64}", data.tags["mlflow_ext.study.journal_sha256"])
    assert re.fullmatch("[0-9a-f]{32}", data.tags[STUDY_ID])
    names = [file.path for file in client.list_artifacts(run_id, "study")]
    assert names == ["study/leaderboard.json", "study/plots.html", "study/summary.json"]


def test_going_on_with_a_study_replaces_its_summary(tuned, tmp_path):
    client, run_id, _ = tuned
    client.log_table(run_id, {"other": [1]}, "other.json")
    with mlflow.start_run(run_id=run_id):
        tune(make_task(tmp_path / "studies", replace(SEARCH, n_trials=15)))

    assert len(mlflow.load_table(LEADERBOARD, run_ids=[run_id])) == 15
    assert len(mlflow.load_table("other.json", run_ids=[run_id])) == 1
    assert client.get_run(run_id).data.metrics["study.n_trials"] == 15
