"""A running service with the example pictures, and pages of a real browser that looks at it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.requirements import require
from tests.e2e.watching import Watch
from tests.pictures import a_picture
from tests.serving import Service, running

EXAMPLES = Path(__file__).parents[2] / "examples"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
]
DESKTOP = {"width": 1360, "height": 860}
DECLARED = "kind:keyword,number:integer,weight:float,framed:bool,taken:datetime"
HOLIDAYS = {
    "Holidays/2019/strand-1.png": {"kind": "trip", "number": 3, "taken": "2019-07-01T10:00:00Z"},
    "Holidays/2019/strand-2.png": {"kind": "trip", "number": 1, "taken": "2019-07-02T10:00:00Z", "framed": True},
    "Holidays/2020/berg.png": {"kind": "trip", "number": 2},
    "Work/plan.png": {"kind": "work"},
}
EXPECTED_WITHIN = 20_000.0
"""Milliseconds in which what a test expects comes: the browser, the service and its models share the cores."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Closed before other packages' tests: Playwright holds an event loop while it runs."""
    chromium = shutil.which("chromium")
    require(chromium is not None, "There is no Chromium: apt-get install chromium")
    expect.set_options(timeout=EXPECTED_WITHIN)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "REPOSITORY__INDEXED_METADATA": DECLARED,
        "FETCH__ENABLED": "true",
        "FETCH__ALLOWED_HOSTS": "127.0.0.1",
    }
    with running(tmp_path_factory.mktemp("service"), settings) as service:
        index_examples(service)
        yield service


def index_examples(service: Service) -> None:
    """The example pictures, each photo with its kind and its number as metadata."""
    photos = sorted((EXAMPLES / "photos").glob("*.jpg"))
    scenes = sorted((EXAMPLES / "scenes").glob("*.jpg"))
    metadata = {photo.name: {"kind": photo.stem[:-3], "number": int(photo.stem[-2:])} for photo in photos}
    metadata |= {scene.name: {"kind": "scene"} for scene in scenes}
    with service.client() as client:
        response = client.post(
            "/v1/images/batch",
            files=[("files", (path.name, path.read_bytes())) for path in [*photos, *scenes]],
            data={"metadata": json.dumps(metadata)},
        )
    assert response.json()["failed"] == 0, response.text


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture
def holidays(client: httpx.Client) -> Iterator[dict[str, dict[str, Any]]]:
    """Four pictures under keys, the newest of all; by their keys."""
    images = {}
    for number, (key, metadata) in enumerate(HOLIDAYS.items()):
        file = (key.rpartition("/")[2], a_picture(81_000 + number))
        form = {"key": key, "source": f"file:///photos/{number}", "metadata": json.dumps(metadata)}
        images[key] = client.post("/v1/images", files={"file": file}, data=form).raise_for_status().json()
    yield images
    keyed = {"any": [{"field": "key", "prefix": prefix} for prefix in ("Holidays/", "Work/")]}
    client.post("/v1/images/delete", json={"filter": keyed}).raise_for_status()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A profile of its own."""
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce", locale="en-GB")  # type: ignore[arg-type]
    yield context
    context.close()


@pytest.fixture
def watch(service: Service) -> Watch:
    return Watch(service.url)


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    """A page whose console must stay free of errors, and which must ask no other host."""
    page = context.new_page()
    watch.over(page)
    yield page
    watch.assert_clean()
