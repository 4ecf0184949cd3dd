"""Browsing, a picture's details, deletion with time to undo."""

import hashlib
import json
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.acting import TILE, addressed, names, scrolled_to_the_end, settled
from tests.e2e.conftest import EXAMPLES
from tests.e2e.watching import Watch
from tests.eventually import until
from tests.pictures import a_picture
from tests.serving import Service


@pytest.fixture
def own(client: httpx.Client, request: pytest.FixtureRequest) -> Iterator[dict[str, object]]:
    """A picture of this test alone, the newest of all."""
    content = a_picture(int(hashlib.sha256(request.node.name.encode()).hexdigest()[:6], 16))
    metadata = json.dumps({"brand": "acme", "price": 19.5, "old": True, "sizes": ["S", "M"]})
    response = client.post("/v1/images", files={"file": ("own.png", content)}, data={"metadata": metadata})
    assert response.status_code == 201
    record: dict[str, object] = response.json()
    yield record
    client.delete(f"/v1/images/{record['id']}")


def test_everything_is_listed_newest_first_by_scrolling(page: Page, service: Service, client: httpx.Client) -> None:
    expected = [item["filename"] for item in client.get("/v1/images", params={"limit": 200}).json()["items"]]
    page.goto(f"{service.url}/?view=browse")
    settled(page)
    expect(page.locator(".result-status")).to_have_text(f"{len(expected)} pictures, newest first")
    scrolled_to_the_end(page, page.locator(TILE), len(expected))
    assert names(page.locator(TILE)) == expected


def test_filters_narrow_the_listing(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/?view=browse")
    page.get_by_label("Metadata key").fill("kind")
    page.get_by_label("Metadata value").fill("hat")
    page.get_by_role("button", name="Add the metadata filter").click()
    expect(page.locator(".result-status")).to_have_text("10 pictures, newest first")
    assert all(name.startswith("hat-") for name in names(page.locator(TILE)))
    page.reload()
    expect(page.locator(".result-status")).to_have_text("10 pictures, newest first")


def test_a_long_code_of_digits_is_text(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    """As a number it would be rounded, and the API takes none of this size."""
    client.patch(f"/v1/images/{own['id']}", json={"metadata": {"sscc": "123456789012345678"}})
    page.goto(f"{service.url}/?view=browse")
    page.get_by_label("Metadata key").fill("sscc")
    page.get_by_label("Metadata value").fill("123456789012345678")
    page.get_by_role("button", name="Add the metadata filter").click()
    expect(page.locator(".result-status")).to_have_text("1 picture, newest first")


def test_a_failure_leaves_no_count_of_what_was_listed_before(page: Page, service: Service, watch: Watch) -> None:
    watch.expect("Failed to load resource")
    page.goto(f"{service.url}/?view=browse")
    settled(page)
    page.route(re.compile("/v1/images"), lambda route: route.abort())
    page.get_by_label("Metadata key").fill("kind")
    page.get_by_label("Metadata value").fill("hat")
    page.get_by_role("button", name="Add the metadata filter").click()
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    expect(page.locator(".result-status")).to_be_empty()


def test_details_open_by_address_and_close_by_back(page: Page, service: Service, own: dict[str, object]) -> None:
    page.goto(f"{service.url}/?view=browse")
    page.locator(TILE).first.locator(".tile-link").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="own.png")).to_be_visible()
    expect(dialog.get_by_text("160 \u00d7 120 pixels")).to_be_visible()
    expect(dialog.locator(".strip .tile").first).to_be_visible()
    addressed(page, f"show={own['id']}")
    page.reload()
    expect(page.get_by_role("dialog").get_by_role("heading", name="own.png")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.go_forward()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("show="))


def test_metadata_is_edited(page: Page, service: Service, client: httpx.Client, own: dict[str, object]) -> None:
    page.goto(f"{service.url}/?view=browse&show={own['id']}")
    rows = page.locator(".metadata-rows li")
    expect(rows).to_have_count(4)
    rows.nth(1).get_by_label("Value", exact=True).fill("a lot")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text('"price" is a number')).to_be_visible()
    rows.nth(1).get_by_label("Value", exact=True).fill("24.5")
    rows.nth(3).get_by_label("Value", exact=True).fill("S, L")
    rows.nth(0).get_by_role("button", name="Remove this field").click()
    page.get_by_role("button", name="Add a field").click()
    page.keyboard.type("note")
    rows.nth(3).get_by_label("Value", exact=True).fill("seen")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    stored = client.get(f"/v1/images/{own['id']}").json()["metadata"]
    assert stored == {"price": 24.5, "old": True, "sizes": ["S", "L"], "note": "seen"}


def test_metadata_that_was_not_touched_stays_as_it_is(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    """A list's part may hold a comma, a text several lines; a key may be a name that JavaScript knows."""
    kept = {"places": ["Oslo, Norway", " Bergen"], "note": "one\ntwo", "toString": "a"}
    url = f"/v1/images/{own['id']}"
    client.patch(url, json={"metadata": {**kept, "valueOf": "b", "price": None, "old": None, "sizes": None}})
    page.goto(f"{service.url}/?view=browse&show={own['id']}")
    rows = page.locator(".metadata-rows li")
    expect(rows).to_have_count(5)
    fields = rows.get_by_label("Key", exact=True)
    keys = [field.input_value() for field in fields.all()]
    rows.nth(keys.index("brand")).get_by_label("Value", exact=True).fill("other")
    rows.nth(keys.index("valueOf")).get_by_role("button", name="Remove this field").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert client.get(url).json()["metadata"] == {"brand": "other", **kept}


def test_metadata_that_is_edited_keeps_the_rest_of_its_value(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    url = f"/v1/images/{own['id']}"
    given = {"places": ["Paris, France", "Rome"], "note": "one\ntwo", "text": "1\n2", "lot": ["a", " b"]}
    client.patch(url, json={"metadata": {**given, "brand": None, "price": None, "old": None, "sizes": None}})
    page.goto(f"{service.url}/?view=browse&show={own['id']}")
    rows = page.locator(".metadata-rows li")
    expect(rows).to_have_count(4)
    keys = [field.input_value() for field in rows.get_by_label("Key", exact=True).all()]
    places, text = (rows.nth(keys.index(key)).get_by_label("Value", exact=True) for key in ("places", "text"))
    for key in ("note", "lot"):
        rows.nth(keys.index(key)).get_by_label("Key", exact=True).fill(f"{key}s")
    text.fill(f"{text.input_value()}\n3")
    page.get_by_role("button", name="Add a field").click()  # and leave it empty
    written = places.input_value()
    places.fill(f"{written}, Oslo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text('"places" is a list')).to_be_visible()
    places.fill(written.replace("]", ', "Oslo"]'))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    edited = {"places": ["Paris, France", "Rome", "Oslo"], "notes": "one\ntwo", "text": "1\n2\n3", "lots": ["a", " b"]}
    assert client.get(url).json()["metadata"] == edited


def test_what_others_add_to_metadata_meanwhile_stays(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    url = f"/v1/images/{own['id']}"
    page.goto(f"{service.url}/?view=browse&show={own['id']}")
    rows = page.locator(".metadata-rows li")
    expect(rows).to_have_count(4)
    client.patch(url, json={"metadata": {"shelf": "b"}})
    for price in (20, 30):
        rows.nth(1).get_by_label("Value", exact=True).fill(str(price))
        with page.expect_response(lambda response: response.request.method == "PATCH"):
            page.get_by_role("button", name="Save").click()
    metadata = client.get(url).json()["metadata"]
    assert (metadata["price"], metadata["shelf"]) == (30, "b")


def test_an_object_of_a_picture_starts_a_search(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/?view=browse")
    page.get_by_role("link", name="coffee.jpg: details").click()
    page.get_by_role("dialog").get_by_role("button", name="cup,").click()
    addressed(page, "image=.*region=")
    settled(page)
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_original_is_downloaded(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/?view=browse")
    page.get_by_role("link", name="coffee.jpg: details").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "coffee.jpg"
    assert download.value.path().read_bytes() == (EXAMPLES / "scenes" / "coffee.jpg").read_bytes()


def test_deletion_can_be_undone(page: Page, service: Service, client: httpx.Client, own: dict[str, object]) -> None:
    page.goto(f"{service.url}/?view=browse")
    page.locator(TILE).first.locator(".tile-link").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").hover()  # time does not run meanwhile
    tile = page.locator(f'[data-id="{own["id"]}"]')
    expect(tile).to_be_hidden()
    listed = client.get("/v1/images").json()["total"]
    expect(page.locator(".result-status")).to_have_text(f"{listed - 1} pictures, newest first")
    assert client.get(f"/v1/images/{own['id']}").status_code == 200
    page.get_by_role("button", name="Undo").click()
    expect(tile).to_be_visible()
    expect(page.locator(".result-status")).to_have_text(f"{listed} pictures, newest first")
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    page.goto("about:blank")
    assert client.get(f"/v1/images/{own['id']}").status_code == 200


def test_deletion_can_be_undone_while_another_picture_is_looked_at(
    page: Page, service: Service, own: dict[str, object]
) -> None:
    """A modal dialog lets nothing outside of it be clicked."""
    page.goto(f"{service.url}/?view=browse")
    page.locator(TILE).first.locator(".tile-link").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("link", name="coffee.jpg: details").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Close").click()
    expect(page.locator(f'[data-id="{own["id"]}"]')).to_be_visible()


def test_a_picture_deleted_twice_stays_for_as_long_as_undo_is_offered(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    page.clock.install(time=0)
    page.goto(f"{service.url}/?view=browse")
    page.clock.pause_at(60_000)
    page.locator(TILE).first.locator(".tile-link").click()
    page.get_by_role("button", name="Delete").click()
    expect(page).not_to_have_url(re.compile("show="))
    page.clock.run_for(5_000)
    page.go_back()
    page.get_by_role("button", name="Delete").click()
    page.clock.run_for(5_000)  # the time of the first offer is over
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(f'[data-id="{own["id"]}"]')).to_be_visible()
    page.goto("about:blank")  # what is still to be deleted is so now
    assert client.get(f"/v1/images/{own['id']}").status_code == 200


def test_deletion_happens_when_its_time_is_over(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    page.goto(f"{service.url}/?view=browse&show={own['id']}")
    with page.expect_response(lambda response: response.request.method == "DELETE", timeout=30_000) as answered:
        page.get_by_role("button", name="Delete").click()
    assert answered.value.status == 204
    assert client.get(f"/v1/images/{own['id']}").status_code == 404
    expect(page.locator(f'[data-id="{own["id"]}"]')).to_be_hidden()
    listed = client.get("/v1/images").json()["total"]
    expect(page.locator(".result-status")).to_have_text(f"{listed} pictures, newest first")


def test_deletion_happens_when_the_page_is_left(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    page.goto(f"{service.url}/?view=browse&show={own['id']}")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.close(run_before_unload=False)
    assert until(lambda: client.get(f"/v1/images/{own['id']}").status_code == 404)


def test_undo_is_not_offered_any_more_when_back_returns_to_a_page_that_was_left(
    page: Page, service: Service, client: httpx.Client, own: dict[str, object]
) -> None:
    """Browsers that keep pages bring one back as it was left."""
    page.goto(f"{service.url}/?view=browse&show={own['id']}")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.evaluate("void dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert until(lambda: client.get(f"/v1/images/{own['id']}").status_code == 404)
    assert page.get_by_role("button", name="Undo").count() == 0
