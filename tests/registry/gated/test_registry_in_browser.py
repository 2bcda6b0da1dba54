"""A click in MLflow's web interface is refused with our words, until the gate has passed."""

import json
import os
import re
import subprocess
import sys

import mlflow
import pytest
from browsers import choose_old_registry, open_browser, open_page
from judged_models import declare, fit, register
from playwright.sync_api import expect
from servers import OUR_SCRIPT, gated_server, running

pytestmark = pytest.mark.slow
MODEL = "flight-delay"
REFUSAL = (
    "Policy 'evidence' refuses to move version {0} of 'flight-delay' to Production: "
    "- at least 1 passed gate: no report. To mend it: mlflow-ext gate run flight-delay {0}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def url(postgres_server, postgres_template, folder):
    """A gated server on PostgreSQL with two versions of a model that nobody has judged."""
    with (
        postgres_server.database(postgres_template) as database,
        running(gated_server(folder, database)) as (server,),
    ):
        log_two_versions(server.url)
        declare(folder, MODEL)
        yield server.url


@pytest.fixture
def page():
    with open_browser() as browser, open_page(browser) as opened:
        yield opened


def log_two_versions(url):
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    for _ in range(2):
        register(mlflow.MlflowClient(), fit(), MODEL)
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def ask(url, folder, *words):
    """Run a command as somebody at another machine; return its exit code and its document."""
    given = {"MLFLOW_TRACKING_URI": url, "MLFLOW_EXT_KEY": str(folder / "judge.pem")}
    done = subprocess.run(
        [sys.executable, OUR_SCRIPT, *words, "--format", "json"],
        env=os.environ | given,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def click_production(page):
    """Choose "Transition to -> Production" from the menu of stages, and confirm."""
    page.get_by_text("None", exact=True).click()
    page.get_by_role("menuitem").filter(has_text="Production").click()
    page.get_by_role("dialog").get_by_role("button", name="OK").click()


def test_the_old_interface_shows_the_refusal_and_after_the_gate_the_same_click_works(
    url, folder, page
):
    client = mlflow.MlflowClient(url, url)
    page.goto(f"{url}/#/models/{MODEL}/versions/1")
    choose_old_registry(page)
    click_production(page)
    expect(page.locator("body")).to_contain_text(f"PERMISSION_DENIED: {REFUSAL.format(1)}")
    assert client.get_model_version(MODEL, "1").current_stage == "None"

    code, judged = ask(url, folder, "gate", "run", MODEL, "1", "--config", "gates.yaml")
    assert (code, judged["is_passed"]) == (0, True)
    page.reload()
    click_production(page)
    expect(page.locator("body")).to_contain_text(re.compile(r"Stage\s*:?\s*Production"))
    assert client.get_model_version_by_alias(MODEL, "champion").current_stage == "Production"

    code, told = ask(url, folder, "history", MODEL)
    steps = [step for step in told["transitions"] if step["version"] == 1]
    assert [(step["action"], step["to_stage"]) for step in steps] == [
        ("refuse", "Production"),
        ("promote", "Production"),
    ]
    assert steps[1]["gates"] == {"metrics": "passed", "champion": "passed"}
    assert all("Chrome" in step["client"] for step in steps)


def test_the_dialog_for_aliases_shows_the_refusal(url, page):
    page.goto(f"{url}/#/models/{MODEL}/versions/2")
    page.get_by_role("button", name="Add", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("champion")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    expect(dialog).to_contain_text(REFUSAL.format(2))
    client = mlflow.MlflowClient(url, url)
    assert client.get_model_version(MODEL, "2").aliases == []
