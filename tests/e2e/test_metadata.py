"""Metadata of declared keys: fields of the right kind, suggestions, and what is wrong told where it is."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.watching import Watch
from tests.serving import Service

KEY = "Holidays/2019/strand-1.png"


@pytest.fixture
def rows(page: Page, service: Service, holidays: dict[str, Any]) -> Locator:
    page.goto(f"{service.url}/?view=browse&show={holidays[KEY]['id']}")
    rows = page.locator(".metadata-rows li")
    expect(rows).to_have_count(3)
    return rows


def value(row: Locator) -> Locator:
    return row.get_by_label("Value", exact=True)


def add(page: Page, rows: Locator, key: str) -> Locator:
    page.get_by_role("button", name="Add a field").click()
    page.keyboard.type(key)
    return rows.last


def stored(client: httpx.Client) -> dict[str, Any]:
    metadata: dict[str, Any] = client.get("/v1/images/by-key", params={"key": KEY}).json()["metadata"]
    return metadata


def save(page: Page) -> None:
    page.get_by_role("button", name="Save").click()


def test_each_type_has_its_field(page: Page, rows: Locator, client: httpx.Client) -> None:
    kind, number, taken = (rows.nth(place) for place in range(3))
    expect(value(number)).to_have_attribute("type", "number")
    expect(number.locator("select")).to_be_hidden()
    expect(value(taken)).to_have_attribute("type", "datetime-local")
    value(kind).fill("tour")
    value(number).fill("12")
    value(taken).fill("2024-02-29T12:30")
    value(add(page, rows, "framed")).select_option("no")
    value(add(page, rows, "weight")).fill("1.25")
    value(add(page, rows, "note")).fill("12")
    save(page)
    expect(page.get_by_text("Saved.")).to_be_visible()
    instant = page.evaluate("new Date('2024-02-29T12:30').toISOString().replace('.000', '')")
    expected = {"kind": "tour", "number": 12, "taken": instant, "framed": False, "weight": 1.25, "note": "12"}
    assert stored(client) == expected


def test_a_time_that_was_not_touched_keeps_its_fractions(
    page: Page, rows: Locator, service: Service, client: httpx.Client
) -> None:
    precise = "2019-07-01T10:00:00.123456+02:00"
    client.patch("/v1/images/by-key", params={"key": KEY}, json={"metadata": {"taken": precise}}).raise_for_status()
    before = stored(client)["taken"]
    page.reload()
    value(rows.nth(0)).fill("tour")
    save(page)
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert stored(client) == {"kind": "tour", "number": 3, "taken": before}


def test_values_of_keywords_are_suggested(page: Page, rows: Locator) -> None:
    value(rows.nth(0)).focus()
    suggested = page.locator("#metadata-values option")
    expect(suggested.first).to_be_attached()
    assert {"trip", "hat"} <= {str(option.get_attribute("value")) for option in suggested.all()}


def test_what_is_wrong_is_told_at_its_field(page: Page, rows: Locator, client: httpx.Client, watch: Watch) -> None:
    watch.expect("422")
    number = rows.nth(1)
    value(number).fill("1.5")
    save(page)
    expect(number.get_by_role("alert")).to_have_text('"number" is a whole number.')
    expect(value(number)).to_have_attribute("aria-invalid", "true")
    value(number).fill("99999999999999999999")
    save(page)
    expect(number.get_by_role("alert")).to_contain_text("metadata.number")
    assert stored(client)["number"] == 3
    value(number).fill("4")
    save(page)
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(number.get_by_role("alert")).to_have_count(0)
    assert stored(client)["number"] == 4
