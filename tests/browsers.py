"""A real Chromium for the tests that look at MLflow's web interface."""

import shutil
from contextlib import contextmanager

from playwright.sync_api import expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
# Chromium is told not to call home: the test uses loopback only.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def open_browser():
    """Start Chromium without a window; yields it."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield chromium
        chromium.close()


@contextmanager
def open_page(browser, width=1200, height=800):
    """Open a page that remembers nothing of earlier ones; yields it."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(60_000)
    yield page
    page.close()


def choose_old_registry(page):
    """Switch off the new registry interface, which shows no menu of stages."""
    page.get_by_role("switch", name="New model registry UI").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
