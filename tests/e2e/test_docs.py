"""Swagger UI answers, without any outside host."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import EXAMPLES
from tests.e2e.watching import Watch
from tests.serving import Service


def operation(page: Page, service: Service, summary: str) -> Locator:
    """An operation's block, opened for trying it out."""
    page.goto(f"{service.url}/docs")
    block = page.locator(".opblock", has=page.get_by_text(summary, exact=True))
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    return block


def answer(block: Locator) -> Any:
    block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table")
    expect(live.locator(".response-col_status").last).to_contain_text(re.compile("^20"))
    return json.loads(live.locator(".response-col_description pre").first.inner_text())


def test_a_search_is_tried_out_with_a_file_and_nothing_else(page: Page, service: Service) -> None:
    block = operation(
        page, service, "Find images that look like a picture, like regions of it, or that hold objects that do"
    )
    block.locator("input[type=file]").set_input_files(EXAMPLES / "photos" / "hat-01.jpg")
    found = answer(block)
    assert found["matches"][0]["image"]["filename"] == "hat-01.jpg"
    assert found["matches"][0]["score"] == pytest.approx(1, abs=0.01)
    assert len(found["matches"]) == 10


def test_detections_are_tried_out(page: Page, service: Service) -> None:
    block = operation(page, service, "Detect objects in a picture")
    block.locator("input[type=file]").set_input_files(EXAMPLES / "scenes" / "chelsea.jpg")
    assert "cat" in {found["label"] for found in answer(block)["detections"]}


def test_a_listing_is_tried_out(page: Page, service: Service) -> None:
    assert answer(operation(page, service, "List images, newest first or in another order"))["items"]


def test_redoc_shows_every_operation(page: Page, service: Service, watch: Watch) -> None:
    watch.expect("cdn.redoc.ly")  # its maker's logo, which our policy keeps it from asking for
    page.goto(f"{service.url}/redoc")
    expect(page.get_by_role("heading", name="Get a picture's feature vector")).to_be_visible(timeout=20_000)
