"""The page stays quick, and the service answers, while many pictures are being indexed from it."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.e2e.acting import settled
from tests.e2e.conftest import EXAMPLES, index_examples
from tests.e2e.watching import Watch
from tests.serving import Service, running

PICTURES = 500
LONGEST_TASK = 200  # milliseconds of the main thread's processor time
LONGEST_SEARCH = 2000  # milliseconds by the clock


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Its own, since it fills."""
    with running(tmp_path / "service", {}) as service:
        index_examples(service)
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Altered copies of the example photos."""
    folder = tmp_path / "many"
    folder.mkdir()
    photos = sorted((EXAMPLES / "photos").glob("*.jpg"))
    chance = np.random.default_rng(5)
    for number in range(PICTURES):
        with Image.open(photos[number % len(photos)]) as photo:
            angle, zoom = float(chance.uniform(-8, 8)), float(chance.uniform(0.9, 1.1))
            altered = photo.rotate(angle, expand=True).resize((int(photo.width * zoom), int(photo.height * zoom)))
        content = io.BytesIO()
        altered.save(content, "JPEG", quality=85)
        (folder / f"copy-{number:03}.jpg").write_bytes(content.getvalue())
    return folder


@contextmanager
def main_thread_watched(browser: Browser, page: Page, tasks: list[float]) -> Iterator[None]:
    """Adds the milliseconds that each task of the page's main thread worked.

    Its processor time, as the browser traces it: by the clock a task also lasts while the service, which indexes on
    the same cores, holds them, and how long that is says nothing about the page.
    """
    browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
    try:
        yield
    finally:
        trace = browser.stop_tracing()  # or the browser, which all tests share, would refuse to trace again
    events = json.loads(trace)["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks.extend(
        event["tdur"] / 1000
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) in main and "tdur" in event
    )


@pytest.mark.timeout(900)
def test_no_long_task_and_quick_searches_while_indexing(
    browser: Browser, page: Page, service: Service, folder: Path, watch: Watch
) -> None:
    watch.expect("503")  # the service may ask to wait: that is what the queue is for
    tasks: list[float] = []
    searches: list[float] = []
    told = page.locator(".progress-told")
    page.goto(f"{service.url}/?view=add")
    with main_thread_watched(browser, page, tasks):
        page.set_input_files("input[webkitdirectory]", folder)
        expect(told).to_contain_text(f"of {PICTURES} pictures")

    while not (told.text_content() or "").startswith(f"{PICTURES} of"):
        # Another part of the page meanwhile, and a search of the visitor's own, by file and by object.
        with main_thread_watched(browser, page, tasks):
            page.get_by_role("link", name="Search").click()
            began = page.evaluate("performance.now()")
            with page.expect_file_chooser() as chooser:
                page.get_by_role("button", name="Choose a picture").click()
            chooser.value.set_files(EXAMPLES / "photos" / f"shirt-{1 + len(searches) % 9:02}.jpg")
            settled(page)
            searches.append(page.evaluate("performance.now()") - began)
            page.mouse.wheel(0, 2000)
            page.get_by_role("link", name="Add pictures").click()
            page.mouse.wheel(0, 3000)
            page.wait_for_timeout(1000)
    expect(told).to_have_text(f"{PICTURES} of {PICTURES} pictures: {PICTURES} added")
    assert len(searches) > 3
    assert max(searches) < LONGEST_SEARCH, searches
    assert len(tasks) > PICTURES  # the browser did tell
    assert max(tasks) < LONGEST_TASK
