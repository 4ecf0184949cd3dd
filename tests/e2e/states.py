"""The main states of the page, and the way to each."""

import re

import httpx
from playwright.sync_api import Page, expect

from tests.e2e.acting import TILE, choose, results, settled
from tests.e2e.conftest import EXAMPLES
from tests.serving import Service

COFFEE = EXAMPLES / "scenes" / "coffee.jpg"


def open_start(page: Page, service: Service) -> None:
    page.goto(service.url)
    expect(page.locator(TILE)).to_have_count(24)


def open_search(page: Page, service: Service) -> None:
    open_start(page, service)
    choose(page, COFFEE)
    page.get_by_role("button", name="cup,").first.click()
    expect(page).to_have_url(re.compile("region="))
    settled(page)


def open_marks(page: Page, service: Service) -> None:
    open_start(page, service)
    page.locator(TILE).locator(".tile-link").nth(5).click()
    settled(page)
    results(page).nth(1).hover()
    results(page).nth(1).get_by_role("button", name="Less like this").click()
    expect(page).to_have_url(re.compile("negative="))
    settled(page)


def open_nothing(page: Page, service: Service) -> None:
    image = httpx.get(f"{service.url}/v1/images").json()["items"][0]["id"]
    page.goto(f"{service.url}/?image={image}&min_likeness=1")
    expect(page.get_by_text("Nothing is that alike")).to_be_visible()


def open_browse(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/?view=browse")
    settled(page)


def open_detail(page: Page, service: Service) -> None:
    open_browse(page, service)
    page.get_by_role("link", name="coffee.jpg: details").click()
    expect(page.locator(".strip .tile").first).to_be_visible()
    page.get_by_role("button", name="Add a field").click()


def open_selection(page: Page, service: Service) -> None:
    open_browse(page, service)
    panel = page.get_by_text("Narrow down")
    if panel.is_visible():  # there is no room for it beside the pictures
        panel.click()
    expect(page.locator(".facet").first).to_be_visible()
    page.get_by_role("button", name="Select").click()
    page.locator(TILE).nth(1).get_by_role("checkbox").check()


def open_bulk_edit(page: Page, service: Service) -> None:
    open_selection(page, service)
    page.get_by_role("button", name="Change metadata").click()
    page.keyboard.type("weight")
    page.get_by_role("button", name="Change 1 picture").click()
    expect(page.get_by_text('"weight" is a number')).to_be_visible()


def open_groups(page: Page, service: Service) -> None:
    image = httpx.get(f"{service.url}/v1/images").json()["items"][0]["id"]
    page.goto(f"{service.url}/?image={image}&group_by=metadata.kind")
    settled(page)
    page.get_by_role("button", name="more").first.click()


def open_add(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[multiple]", [COFFEE, EXAMPLES / "README.md"])
    expect(page.locator(".progress-told")).to_contain_text("1 failed")


STATES = [
    open_start,
    open_search,
    open_marks,
    open_groups,
    open_nothing,
    open_browse,
    open_selection,
    open_bulk_edit,
    open_detail,
    open_add,
]
