"""The main job on the real flights, as a newcomer runs it, and what the MLflow UI then shows."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from browsers import choose_old_registry, open_browser, open_page
from playwright.sync_api import expect
from servers import ROOT, free_port, serve

from pipelines.main import STEPS

pytestmark = pytest.mark.slow

PROJECT_FILES = ("MLproject", "conda.yaml", "project.yaml", "pipelines", "expectations")
MODEL = "flight-delay"


def run(folder, *command):
    """Run *command* in *folder* as a newcomer does: no store named, our scripts first on PATH."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run_job(folder, *parameters):
    words = [word for parameter in parameters for word in ("-P", parameter)]
    return run(folder, "mlflow", "run", ".", "--env-manager", "local", *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the project, so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("job")
    for name in PROJECT_FILES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    author = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
    run(copy, "git", "init", "--quiet")
    run(copy, "git", "add", ".")
    assert run(copy, "git", *author, "commit", "--quiet", "-m", "all").returncode == 0
    return copy


@pytest.fixture(scope="module")
def first(folder):
    """The job through June 2013; few trials, to save time."""
    return run_job(folder, "n_trials=5")


@pytest.fixture(scope="module")
def client(folder, first):
    uri = f"sqlite:///{folder}/mlflow.db"
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture(scope="module")
def ui(folder, first):
    """The MLflow UI on what the first job has left; yields its URL."""
    with serve(folder, free_port(), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db") as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with open_browser() as chromium:
        yield chromium


@pytest.fixture
def page(browser):
    with open_page(browser, 1600, 1000) as opened:
        yield opened


def step_runs(client, step):
    return client.search_runs(["0"], f"tags.`mlflow_ext.step` = '{step}'")


def children(client, run_id):
    return client.search_runs(["0"], f"tags.mlflow.parentRunId = '{run_id}'", max_results=1000)


def test_first_job_ends_well_with_version_one_in_production(first, client):
    assert first.returncode == 0, first.stderr
    version = client.get_model_version(MODEL, "1")
    assert version.current_stage == "Production"
    assert client.get_model_version_by_alias(MODEL, "champion").version == version.version


def test_summary_names_version_stage_alias_kpis_and_where_to_look(first):
    assert "version **1**, stage **Production**, alias `@champion`" in first.stdout
    assert "| roc_auc |" in first.stdout
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in first.stdout


def test_progress_is_a_line_per_step_on_stderr(first):
    steps = re.findall(r"^\[(\d)/9\] (\w+) +ran", first.stderr, flags=re.MULTILINE)
    assert [name for _, name in steps] == [step.name for step in STEPS]


def test_every_step_is_a_child_of_the_one_run_of_the_job(first, client):
    parents = {
        step_runs(client, step)[0].data.tags["mlflow.parentRunId"]
        for step in ("ingest", "tune", "promote")
    }
    (parent,) = parents
    job = client.get_run(parent)
    assert job.info.status == "FINISHED"
    assert job.data.metrics["holdout.roc_auc"] > 0.67
    assert "mlflow_ext.commit" in job.data.tags


@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_every_step_carries_the_problem_it_works_on(first, client, step):
    run_id = step_runs(client, step)[-1].info.run_id
    assert [file.path for file in client.list_artifacts(run_id, "project")] == [
        "project/project.yaml"
    ]


def test_every_trial_is_one_child_run_that_has_ended(first, client):
    (tune,) = step_runs(client, "tune")
    trials = children(client, tune.info.run_id)
    counted = [tune.data.metrics[f"study.n_{state}"] for state in ("complete", "pruned", "failed")]
    assert len(trials) == sum(counted) > 0  # how many fit into the time depends on the machine
    assert {run.info.status for run in trials} <= {"FINISHED", "KILLED"}
    assert len({run.data.tags["mlflow_ext.trial"] for run in trials}) == len(trials)


def test_the_parameters_are_those_of_the_winner_on_rows_kept_from_the_search(first, client):
    (tune,), (train,) = step_runs(client, "tune"), step_runs(client, "train")
    file = client.download_artifacts(tune.info.run_id, "study/rescored.json")
    rescored = json.loads(Path(file).read_text())
    place = rescored["columns"].index("is_winner")
    ((winner, *_),) = [row for row in rescored["data"] if row[place]]
    shown = client.search_runs(["0"], f"tags.`mlflow_ext.trial` = '{winner}'")[-1]

    assert shown.data.params.items() <= train.data.params.items()
    metrics = tune.data.metrics
    assert metrics["study.winner"] == winner
    assert metrics["study.fresh_roc_auc.low"] < metrics["study.fresh_roc_auc"]
    assert abs(metrics["study.optimism"]) < 0.2
    promised = client.get_model_version(MODEL, "1").tags["mlflow_ext.promised.roc_auc"]
    assert promised.startswith(f"{metrics['study.fresh_roc_auc']:.4f} (")


def test_flights_without_a_label_are_counted(first, client):
    (features,) = step_runs(client, "features")
    rows = features.data.metrics
    assert rows["rows.unlabelled"] > 4_000
    assert rows["rows.labelled"] + rows["rows.unlabelled"] == 166_158


def test_version_traces_to_commit_data_and_problem(first, folder, client):
    tags = client.get_model_version(MODEL, "1").tags
    assert tags["mlflow_ext.commit"] == run(folder, "git", "rev-parse", "HEAD").stdout.strip()
    assert tags["mlflow_ext.dirty"] in ("true", "false")
    assert len(tags["mlflow_ext.project_digest"]) == 64
    (features,) = step_runs(client, "features")
    recorded = features.data.tags["mlflow_ext.fingerprint.features"]
    assert tags["mlflow_ext.fingerprint.features"] == recorded
    assert "rebooked" in client.get_registered_model(MODEL).description


def test_served_model_answers_like_the_one_that_was_judged(first, folder, client):
    uri = f"sqlite:///{folder}/mlflow.db"
    script = (
        "import mlflow, json, sys\n"
        f"mlflow.set_tracking_uri({uri!r})\n"
        f"model = mlflow.pyfunc.load_model('models:/{MODEL}@champion')\n"
        "answers = model.predict(model.input_example)\n"
        "print(json.dumps([int(a) for a in answers]))\n"
    )
    done = run(folder, sys.executable, "-c", script)
    assert set(json.loads(done.stdout.splitlines()[-1])) <= {0, 1}, done.stderr


def test_ui_shows_the_job_with_its_nested_trials(ui, page):
    page.goto(f"{ui}/#/experiments/0/runs")
    expand(page, "flight-delay 2013-06")
    expand(page, re.compile("^tune$"))
    expect(page.get_by_role("link", name="trial-0000")).to_be_visible()


def test_ui_opens_the_data_docs(ui, page, client):
    (validate,) = step_runs(client, "validate")
    artifact = "artifacts/validation/flights_raw.html"
    page.goto(f"{ui}/#/experiments/0/runs/{validate.info.run_id}/{artifact}")
    docs = page.frame_locator("iframe").locator("body")
    expect(docs).to_contain_text("flights_raw")
    expect(docs).to_contain_text("Success")


def test_new_registry_ui_shows_stage_and_alias(ui, page):
    page.goto(f"{ui}/#/models/{MODEL}/versions/1")
    body = page.locator("body")
    expect(body).to_contain_text("@ champion")
    expect(body).to_contain_text(re.compile(r"Stage \(deprecated\)\s*:?\s*Production"))


def test_old_registry_ui_shows_the_stage(ui, page):
    page.goto(f"{ui}/#/models/{MODEL}/versions/1")
    choose_old_registry(page)
    expect(page.locator("body")).to_contain_text(re.compile(r"Stage\s*:?\s*Production"))
    page.goto(f"{ui}/#/models/{MODEL}")
    expect(page.locator("body")).to_contain_text(re.compile(r"Version 1[\s\S]*Production"))


def test_ui_answers_what_the_model_is_for(ui, page):
    page.goto(f"{ui}/#/models/{MODEL}")
    expect(page.locator("body")).to_contain_text("which flights from New York will arrive late")


def expand(page, name):
    """Open the row of the run called *name* in the table of runs."""
    link = page.get_by_role("link", name=name).last  # the oldest
    link.wait_for()
    link.locator("xpath=ancestor::*[@role='gridcell'][1]").get_by_role("button").first.click()


def test_second_call_reuses_what_succeeded(first, folder):
    again = run_job(folder, "n_trials=5")
    assert again.returncode == 0, again.stderr
    reused = re.findall(r"^\[\d/9\] (\w+) +reused", again.stderr, flags=re.MULTILINE)
    assert reused == ["ingest", "validate", "features", "tune", "train", "evaluate", "register"]


@pytest.fixture(scope="module")
def second(folder, first, client):
    """The job again after a month of new data."""
    return run_job(folder, "through=2013-07", "n_trials=3")


def test_new_data_makes_version_two_and_the_champion_gate_decides(second, client):
    version = client.get_model_version(MODEL, "2")
    verdict = version.tags["gate.champion"]
    assert verdict in ("passed", "failed")
    if verdict == "passed":
        assert second.returncode == 0, second.stderr
        assert version.current_stage == "Production"
        assert client.get_model_version(MODEL, "1").current_stage == "Archived"
    else:
        assert second.returncode == 1
        assert "champion" in second.stderr
        assert client.get_model_version(MODEL, "1").current_stage == "Production"


def test_the_first_trial_of_the_next_study_is_the_champion(second, client):
    newest, *_ = step_runs(client, "tune")
    champion = client.get_run(client.get_model_version(MODEL, "1").run_id)
    trials = {
        run.data.tags["mlflow_ext.trial"]: run for run in children(client, newest.info.run_id)
    }
    assert trials["0"].data.params.items() <= champion.data.params.items()
    assert len(trials["0"].data.params) == 5


def test_history_tells_both_promotions_with_their_reasons(second, folder):
    told = run(folder, "mlflow-ext", "history", MODEL, "--format", "json")
    transitions = json.loads(told.stdout)["transitions"]
    assert (transitions[0]["version"], transitions[0]["to_stage"]) == (1, "Staging")
    assert all(transition["reason"] for transition in transitions)
