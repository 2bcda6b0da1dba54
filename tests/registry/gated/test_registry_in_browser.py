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
from served_shop import ServedShop
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


@pytest.fixture(scope="module")
def shop(url, folder):
    return ServedShop(url, folder)


@pytest.fixture
def live(url, shop):
    """The page of a version that is in Production, and the name of its model."""
    model = shop.add_model()
    assert shop.judge(1, model)[0] == 200
    shop.client.set_registered_model_alias(model, "champion", "1")
    return f"{url}/#/models/{model}/versions/1", model


def test_the_dialog_for_aliases_does_not_take_the_alias_of_what_is_in_production(shop, live, page):
    address, model = live
    page.goto(address)
    page.get_by_role("button", name="Edit aliases").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").press("Backspace")
    dialog.get_by_role("button", name="Save aliases").click()
    expect(dialog).to_contain_text("goes with stage Production, which version 1 holds")
    assert shop.client.get_model_version(model, "1").aliases == ["champion"]


def test_a_forged_tag_is_refused_where_tags_are_added(shop, live, page):
    address, model = live
    page.goto(address)
    page.get_by_role("button", name="Tags").click()
    page.get_by_placeholder("Name").fill("mlflow_ext.gate.metrics")
    page.get_by_placeholder("Value").fill("passed")
    page.get_by_role("button", name="Add", exact=True).click()
    said = "tag 'mlflow_ext.gate.metrics' is kept by the registry"
    expect(page.locator("body")).to_contain_text(said)
    assert shop.client.get_model_version(model, "1").tags == {}


def test_pages_offer_no_deletion_of_what_is_in_production(live, page):
    address, _ = live
    for where in (address, address.removesuffix("/versions/1")):
        page.goto(where)
        page.get_by_label("Open header dropdown menu").click()
        delete = page.get_by_role("menuitem", name="Delete")
        expect(delete).to_have_attribute("aria-disabled", "true")
