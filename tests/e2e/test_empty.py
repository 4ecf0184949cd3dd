"""The page of a service that has nothing indexed, and no detector."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.acting import addressed, choose, results, settled
from tests.e2e.conftest import EXAMPLES
from tests.serving import Service, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"REPOSITORY__BACKEND": "memory", "DETECTOR__RUNTIME": "none"}
    with running(tmp_path_factory.mktemp("service"), settings) as service:
        yield service


def test_from_nothing_to_the_first_match(page: Page, service: Service) -> None:
    page.goto(service.url)
    expect(page.get_by_text("Nothing is indexed yet")).to_be_visible()
    choose(page, EXAMPLES / "photos" / "hat-01.jpg")
    expect(page.get_by_text("Nothing to compare with")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Add pictures").click()
    page.set_input_files("input[multiple]", [EXAMPLES / "photos" / "hat-01.jpg", EXAMPLES / "photos" / "hat-02.jpg"])
    expect(page.locator(".progress-told")).to_have_text("2 of 2 pictures: 2 added")
    page.get_by_role("link", name="Search", exact=True).click()
    choose(page, EXAMPLES / "photos" / "hat-01.jpg")
    settled(page)
    expect(results(page)).to_have_count(2)
    # Without a detector nothing speaks of objects, but a box can be drawn.
    expect(page.get_by_text("Compare with")).to_be_hidden()
    expect(page.locator(".object-box")).to_have_count(0)
    expect(page.get_by_text("Drag a box to search for just a part.")).to_be_visible()


def test_without_a_detector_one_part_at_a_time_is_searched_for(page: Page, service: Service) -> None:
    photo = EXAMPLES / "photos" / "hat-01.jpg"
    added = httpx.post(
        f"{service.url}/v1/images", files={"file": ("hat-01.jpg", photo.read_bytes())}, timeout=60
    ).json()
    page.goto(f"{service.url}/?image={added['id']}&region=10,10,90,90&region=20,20,120,120")
    settled(page)
    expect(page.locator(".own-box")).to_have_count(1)
    expect(page.locator(".hint", has_text="Searching for this part.")).to_have_text("Searching for this part.")
    page.get_by_role("button", name="Draw a box").focus()
    page.keyboard.press("Enter")
    addressed(page, "image=[^&]*&region=[^&]*$")
    settled(page)
    expect(page.locator(".own-box")).to_have_count(1)
    expect(page.get_by_role("button", name="Your box 1: arrow keys")).to_be_focused()


def test_browsing_nothing_leads_to_adding(page: Page, service: Service) -> None:
    page.goto(f'{service.url}/?view=browse&filter={{"all":[{{"field":"filename","eq":"none"}}]}}')
    expect(page.get_by_text("No picture passes the filters")).to_be_visible()
    page.get_by_role("button", name="Drop the filters").click()
    expect(page.get_by_text("No picture passes the filters")).to_be_hidden()
