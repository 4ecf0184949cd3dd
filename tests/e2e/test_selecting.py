"""Several pictures at once: selected, deleted with time to undo, their metadata changed."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.acting import TILE, settled
from tests.eventually import until
from tests.serving import Service

FOLDER = '{"all":[{"field":"key","prefix":"Holidays/"}]}'


@pytest.fixture
def tiles(page: Page, service: Service, holidays: dict[str, Any]) -> Locator:
    """The three pictures of the holidays, about to be selected."""
    page.goto(f"{service.url}/?view=browse&filter={FOLDER}")
    expect(page.locator(TILE)).to_have_count(3)
    page.get_by_role("button", name="Select").click()
    return page.locator(TILE)


def there(client: httpx.Client, holidays: dict[str, Any]) -> int:
    found = client.post("/v1/images/lookup", json={"keys": list(holidays)}).json()
    return len(found["items"])


def chosen(page: Page, count: str) -> None:
    expect(page.get_by_role("group", name="Selected pictures").get_by_role("status")).to_have_text(f"{count} selected")


def test_clicks_and_the_keyboard_select(page: Page, tiles: Locator) -> None:
    chosen(page, "0 pictures")
    expect(page.get_by_role("button", name="Delete")).to_be_disabled()
    tiles.nth(0).locator(".tile-link").click()
    chosen(page, "1 picture")
    expect(page.get_by_role("dialog")).to_have_count(0)
    tiles.nth(2).locator(".tile-link").click(modifiers=["Shift"])
    chosen(page, "3 pictures")
    tiles.nth(1).get_by_role("checkbox").press("Space")
    chosen(page, "2 pictures")
    page.get_by_role("button", name="All shown").click()
    chosen(page, "3 pictures")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("checkbox")).to_have_count(0)
    tiles.nth(0).locator(".tile-link").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_several_are_deleted_and_taken_back(
    page: Page, tiles: Locator, client: httpx.Client, holidays: dict[str, Any]
) -> None:
    tiles.nth(0).get_by_role("checkbox").check()
    tiles.nth(1).get_by_role("checkbox").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("2 pictures are deleted.")).to_be_visible()
    page.get_by_role("button", name="Undo").hover()
    expect(page.locator(".result-status")).to_have_text("1 picture, newest first")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".result-status")).to_have_text("3 pictures, newest first")
    page.goto("about:blank")
    assert there(client, holidays) == 4


@pytest.mark.parametrize("key", ["with", "without"])
def test_several_are_deleted_for_good(  # noqa: PLR0917
    page: Page, tiles: Locator, client: httpx.Client, holidays: dict[str, Any], service: Service, key: str
) -> None:
    """Those of the same bytes that were not chosen stay."""
    strand = holidays["Holidays/2019/strand-1.png"]
    content = client.get(strand["links"]["content"]).content
    if key == "without":
        client.post("/v1/images", files={"file": ("strand-1.png", content)}).raise_for_status()
        page.goto(f"{service.url}/?view=browse")
        settled(page)
        page.get_by_role("button", name="Select").click()
        tiles = page.locator(TILE)
    tiles.nth(0).get_by_role("checkbox").check()
    tiles.nth(1).get_by_role("checkbox").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("2 pictures are deleted.")).to_be_visible()
    page.close(run_before_unload=False)
    assert until(lambda: there(client, holidays) == (2 if key == "with" else 3))
    assert client.get("/v1/images/by-key", params={"key": strand["key"]}).status_code == 200


def test_metadata_of_several_is_changed(
    page: Page, tiles: Locator, client: httpx.Client, holidays: dict[str, Any]
) -> None:
    page.get_by_role("button", name="All shown").click()
    page.get_by_role("button", name="Change metadata").click()
    dialog = page.get_by_role("dialog", name="Metadata of 3 pictures")
    dialog.get_by_label("Key", exact=True).fill("weight")
    dialog.get_by_label("Value", exact=True).fill("2.5")
    dialog.get_by_role("button", name="Add a field").click()
    page.keyboard.type("number")
    dialog.get_by_label("Kind of value").last.select_option("gone")
    dialog.get_by_role("button", name="Change 3 pictures").click()
    expect(page.get_by_text("3 pictures changed.")).to_be_visible()
    expect(dialog).to_have_count(0)
    for key in list(holidays)[:3]:
        metadata = client.get("/v1/images/by-key", params={"key": key}).json()["metadata"]
        assert metadata["weight"] == 2.5
        assert "number" not in metadata
        assert metadata["kind"] == "trip"
    assert client.get("/v1/images/by-key", params={"key": "Work/plan.png"}).json()["metadata"] == {"kind": "work"}


def test_of_those_that_cannot_be_changed_it_is_told_how_many(
    page: Page, tiles: Locator, client: httpx.Client, holidays: dict[str, Any]
) -> None:
    page.get_by_role("button", name="All shown").click()
    client.delete("/v1/images/by-key", params={"key": "Holidays/2020/berg.png"}).raise_for_status()
    page.get_by_role("button", name="Change metadata").click()
    dialog = page.get_by_role("dialog", name="Metadata of 3 pictures")
    dialog.get_by_role("button", name="Change 3 pictures").click()
    expect(dialog.get_by_role("alert")).to_have_text("Name a key and its value.")
    dialog.get_by_label("Key", exact=True).fill("framed")
    dialog.get_by_label("Value", exact=True).select_option("no")
    dialog.get_by_role("button", name="Change 3 pictures").click()
    expect(page.get_by_role("alert")).to_contain_text("2 pictures changed, 1 failed")
    strand = client.get("/v1/images/by-key", params={"key": "Holidays/2019/strand-2.png"}).json()
    assert strand["metadata"]["framed"] is False
