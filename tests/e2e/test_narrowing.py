"""Finding by name, folders, facets with their counts, sorting; all of it in the address."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.acting import TILE, addressed, names, settled
from tests.serving import Service

pytestmark = pytest.mark.usefixtures("holidays")


def open_browse(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/?view=browse")
    settled(page)


def told(page: Page, text: str) -> None:
    expect(page.locator(".result-status")).to_have_text(text)


def facet(client: httpx.Client, field: str, filter_: Any = None) -> dict[Any, int]:
    body = {"fields": [field], "filter": filter_ or {}}
    return {each["value"]: each["images"] for each in client.post("/v1/facets", json=body).json()["facets"][field]}


def test_words_of_names_are_found_while_they_are_typed(page: Page, service: Service, client: httpx.Client) -> None:
    everything = f"{client.get('/v1/images').json()['total']} pictures, newest first"
    open_browse(page, service)
    box = page.get_by_role("searchbox", name="Find by name")
    box.press_sequentially("STRA")
    told(page, "2 pictures, newest first")
    box.press_sequentially("nd 2019 0")
    told(page, "1 picture, newest first")
    expect(box).to_be_focused()
    assert names(page.locator(TILE)) == ["Holidays/2019/strand-1.png"]
    page.reload()
    expect(box).to_have_value("STRAnd 2019 0")
    told(page, "1 picture, newest first")
    page.go_back()
    told(page, everything)
    expect(box).to_have_value("")


def test_what_is_no_word_finds_everything(page: Page, service: Service, client: httpx.Client) -> None:
    open_browse(page, service)
    page.get_by_role("searchbox", name="Find by name").fill("strand")
    told(page, "2 pictures, newest first")
    page.get_by_role("searchbox", name="Find by name").fill("--")
    told(page, f"{client.get('/v1/images').json()['total']} pictures, newest first")


def test_folders_are_walked_down_and_up(page: Page, service: Service) -> None:
    open_browse(page, service)
    folder = page.get_by_role("navigation", name="Folder")
    expect(folder.get_by_role("button")).to_have_text(["Holidays/", "Work/"])
    folder.get_by_role("button", name="Holidays/").click()
    told(page, "3 pictures, newest first")
    expect(folder.get_by_role("button")).to_have_text(["All", "Holidays/", "2019/", "2020/"])
    folder.get_by_role("button", name="2019/").click()
    told(page, "2 pictures, newest first")
    assert all(name.startswith("Holidays/2019/") for name in names(page.locator(TILE)))
    folder.get_by_role("button", name="Holidays/").click()
    told(page, "3 pictures, newest first")
    page.go_back()
    told(page, "2 pictures, newest first")
    folder.get_by_role("button", name="All").click()
    expect(folder.get_by_role("button", name="Work/")).to_be_visible()


def test_facets_count_and_narrow(page: Page, service: Service, client: httpx.Client) -> None:
    open_browse(page, service)
    kinds, formats = (page.get_by_role("list", name=name) for name in ("kind", "format"))
    hats = facet(client, "metadata.kind")["hat"]
    kinds.get_by_role("button", name=f"hat {hats}").click()
    told(page, f"{hats} pictures, newest first")
    expect(page.get_by_text("kind is hat")).to_be_visible()
    expect(kinds.get_by_role("button")).to_have_text([f"hat {hats}"])
    expect(formats.get_by_role("button")).to_have_text([f"JPEG {hats}"])
    labels = facet(client, "labels", {"all": [{"field": "metadata.kind", "eq": "hat"}]})
    label, images = next(iter(labels.items()))
    page.get_by_role("list", name="detected").get_by_role("button", name=f"{label} {images}").click()
    expect(page.locator(TILE)).to_have_count(images)
    pressed = kinds.get_by_role("button", name="hat", pressed=True)
    expect(pressed).to_be_visible()
    pressed.press("Enter")
    expect(page.get_by_text("kind is hat")).to_be_hidden()
    told(page, f"{facet(client, 'labels')[label]} pictures, newest first")
    page.go_back()
    page.go_back()
    told(page, f"{hats} pictures, newest first")


def test_values_of_yes_and_no_and_numbers_narrow_too(page: Page, service: Service) -> None:
    open_browse(page, service)
    page.get_by_role("list", name="framed").get_by_role("button", name="yes 1").click()
    expect(page.locator(TILE)).to_have_count(1)
    assert names(page.locator(TILE)) == ["Holidays/2019/strand-2.png"]
    page.get_by_role("list", name="number").get_by_role("button", name="1 1").click()
    addressed(page, "metadata.number")
    settled(page)
    expect(page.locator(TILE)).to_have_count(1)


@pytest.mark.parametrize(
    ("order", "words", "expected"),
    [
        ("metadata.number", "number, lowest first; those without are left out", ["strand-2", "berg", "strand-1"]),
        ("-metadata.number", "number, highest first; those without are left out", ["strand-1", "berg", "strand-2"]),
        ("-metadata.taken", "taken, latest first; those without are left out", ["strand-2", "strand-1"]),
        ("created_at", "oldest first", ["strand-1", "strand-2", "berg"]),
    ],
)
def test_pictures_are_sorted(page: Page, service: Service, order: str, words: str, expected: list[str]) -> None:
    page.goto(f'{service.url}/?view=browse&filter={{"all":[{{"field":"key","prefix":"Holidays/"}}]}}')
    told(page, "3 pictures, newest first")
    page.get_by_label("Sort").select_option(order)
    told(page, f"{len(expected)} pictures, {words}")
    assert [name.rpartition("/")[2].removesuffix(".png") for name in names(page.locator(TILE))] == expected
    page.reload()
    told(page, f"{len(expected)} pictures, {words}")
    expect(page.get_by_label("Sort")).to_have_value(order)
    page.go_back()
    told(page, "3 pictures, newest first")


def test_what_was_changed_last_comes_first(page: Page, service: Service, client: httpx.Client) -> None:
    berg = {"key": "Holidays/2020/berg.png"}
    client.patch("/v1/images/by-key", params=berg, json={"metadata": {"seen": True}}).raise_for_status()
    open_browse(page, service)
    page.get_by_label("Sort").select_option("-updated_at")
    addressed(page, "order_by=-updated_at")
    settled_first = page.locator(TILE).first.locator(".tile-link")
    expect(settled_first).to_have_attribute("title", berg["key"])


def test_a_beginning_and_a_time_are_asked_for(page: Page, service: Service) -> None:
    open_browse(page, service)
    page.get_by_label("Metadata key").fill("kind")
    page.get_by_label("Test").select_option("prefix")
    page.get_by_label("Metadata value").fill("tr")
    page.get_by_role("button", name="Add the metadata filter").click()
    told(page, "3 pictures, newest first")
    expect(page.get_by_text("kind begins with tr")).to_be_visible()
    page.get_by_label("Metadata key").fill("taken")
    page.get_by_label("Test").select_option("gte")
    page.get_by_label("Metadata value").fill("2019-07-02T00:00")
    page.get_by_role("button", name="Add the metadata filter").click()
    told(page, "1 picture, newest first")
