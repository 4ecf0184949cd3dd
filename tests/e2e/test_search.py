"""The search page."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.e2e.acting import (
    TILE,
    addressed,
    bands,
    choose,
    drop,
    happened,
    names,
    results,
    scores,
    scrolled_to_the_end,
    settled,
)
from tests.e2e.conftest import EXAMPLES
from tests.e2e.watching import Watch
from tests.serving import Service

HAT = EXAMPLES / "photos" / "hat-01.jpg"
COFFEE = EXAMPLES / "scenes" / "coffee.jpg"
ASTRONAUT = EXAMPLES / "scenes" / "astronaut.jpg"


def id_of(client: httpx.Client, filename: str) -> str:
    where = json.dumps({"all": [{"field": "filename", "eq": filename}]})
    [item] = client.get("/v1/images", params={"filter": where}).json()["items"]
    return str(item["id"])


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def box_on(page: Page, label: str) -> dict[str, float]:
    box = page.locator(f"{label}").first.bounding_box()
    assert box is not None
    return dict(box)  # type: ignore[arg-type]


@contextmanager
def slow_downloads(page: Page, *, bytes_per_second: int) -> Iterator[None]:
    """What the page asks for meanwhile comes no faster."""
    session = page.context.new_cdp_session(page)
    at_pace = {"offline": False, "latency": 0, "uploadThroughput": -1, "downloadThroughput": bytes_per_second}
    session.send("Network.emulateNetworkConditions", at_pace)
    yield
    session.send("Network.emulateNetworkConditions", at_pace | {"downloadThroughput": -1})


def test_a_dropped_file_finds_its_twin_first(page: Page, service: Service) -> None:
    page.goto(service.url)
    drop(page, HAT)
    settled(page)
    assert names(results(page))[0] == "hat-01.jpg"
    assert scores(page)[0] == pytest.approx(1.0, abs=0.01)
    assert scores(page) == sorted(scores(page), reverse=True)


def test_a_chosen_file_finds_its_twin_first(page: Page, service: Service) -> None:
    page.goto(service.url)
    choose(page, HAT)
    settled(page)
    assert names(results(page))[0] == "hat-01.jpg"
    expect(page.locator(".query-image")).to_have_js_property("naturalWidth", 400)


def test_a_pasted_picture_is_searched_with(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.evaluate(
        """async (url) => {
            const blob = await (await fetch(url)).blob();
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([blob], "pasted.jpg", { type: "image/jpeg" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        httpx.get(f"{service.url}/v1/images").json()["items"][-1]["links"]["content"],
    )
    settled(page)
    assert scores(page)[0] == pytest.approx(1.0, abs=0.01)


def test_text_is_pasted_into_a_field_though_a_picture_of_it_comes_along(page: Page, service: Service) -> None:
    """As spreadsheets copy their cells."""
    page.goto(f"{service.url}/?view=browse")
    settled(page)
    taken = page.get_by_label("Metadata value").evaluate(
        """field => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add("acme", "text/plain");
            clipboardData.items.add(new File(["x"], "image.png", { type: "image/png" }));
            const pasted = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
            return !field.dispatchEvent(pasted);
        }"""
    )
    assert not taken
    expect(page.get_by_role("heading", name="Browse")).to_be_visible()


def test_an_indexed_picture_is_clicked_and_back_returns(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.locator(TILE).locator(".tile-link").first.click()
    settled(page)
    first = query_of(page)["image"]
    assert str(first[0]) not in [tile.get_attribute("data-id") for tile in results(page).all()]
    results(page).first.locator(".tile-link").click()
    expect(page).not_to_have_url(re.compile(first[0]))
    settled(page)
    page.go_back()
    addressed(page, first[0])
    page.go_back()
    expect(page.get_by_text("Find pictures that look like yours")).to_be_visible()


def test_an_address_can_be_shared(page: Page, service: Service, client: httpx.Client) -> None:
    where = json.dumps({"all": [{"field": "metadata.kind", "eq": "hat"}]})
    image = id_of(client, "hat-01.jpg")
    expected = client.get(f"/v1/images/{image}/similar", params={"filter": where, "limit": 30}).json()["matches"]
    page.goto(str(httpx.URL(service.url, params={"image": image, "filter": where})))
    settled(page)
    assert names(results(page)) == [match["image"]["filename"] for match in expected]
    expect(page.get_by_text("kind is hat")).to_be_visible()


@pytest.mark.parametrize(
    "where",
    [
        "x",
        "5",
        '{"all":"x"}',
        '{"any":[{"field":"a","in":5}]}',
        '{"all":[null,{},{"field":"metadata.kind","eq":"hat"}]}',
    ],
)
def test_what_an_address_says_amiss_is_left_out(page: Page, service: Service, client: httpx.Client, where: str) -> None:
    page.goto(str(httpx.URL(service.url, params={"image": id_of(client, "hat-01.jpg"), "filter": where})))
    settled(page)
    assert results(page).count() == (9 if "hat" in where else 30)


def test_a_clicked_object_is_searched_for(page: Page, service: Service) -> None:
    page.goto(service.url)
    choose(page, COFFEE)
    page.get_by_role("button", name="cup,").first.click()
    addressed(page, "region=")
    settled(page)
    assert names(results(page))[0] == "coffee.jpg"
    assert page.get_by_role("radio", name="Both").is_checked()
    # The object that matched is drawn on the thumbnail, where the cup is: about 30 to 68 % from the left.
    frame = results(page).first.locator(".frame").bounding_box()
    box = results(page).first.locator(".match-box").bounding_box()
    assert frame is not None
    assert box is not None
    assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(0.29, abs=0.05)
    assert (box["x"] + box["width"] - frame["x"]) / frame["width"] == pytest.approx(0.68, abs=0.05)


def test_several_objects_are_searched_together(page: Page, service: Service) -> None:
    page.goto(service.url)
    choose(page, COFFEE)
    page.get_by_role("button", name="cup,").first.click()
    page.get_by_role("button", name="dining table,").first.click(position={"x": 8, "y": 60})
    expect(page.get_by_text("all 2 of these parts")).to_be_visible()
    settled(page)
    assert len(query_of(page)["region"]) == 2
    assert page.get_by_role("radio", name="Objects").is_checked()
    assert page.get_by_role("radio", name="Pictures").is_disabled()
    assert names(results(page))[0] == "coffee.jpg"
    expect(results(page).first.locator(".match-box")).to_have_count(2)
    page.get_by_role("button", name="Whole picture").click()
    expect(page).not_to_have_url(re.compile("region="))
    assert page.get_by_role("radio", name="Pictures").is_checked()


def test_a_search_given_up_while_the_original_comes_spoils_no_later_one(
    page: Page, service: Service, client: httpx.Client
) -> None:
    page.goto(f"{service.url}/?image={id_of(client, 'coffee.jpg')}")
    settled(page)
    with slow_downloads(page, bytes_per_second=20_000):
        with page.expect_response(re.compile("/content$")):
            page.get_by_role("button", name="cup,").first.click()
        page.get_by_role("button", name="dining table,").first.click(position={"x": 8, "y": 60})
    settled(page)
    assert len(query_of(page)["region"]) == 2
    assert results(page).count() > 0


def test_where_no_picture_has_objects_that_is_told(page: Page, service: Service, client: httpx.Client) -> None:
    nothing = {"query": {"low_detail": False}, "matches": [], "next_offset": None}
    page.route(re.compile("/v1/search$"), lambda route: route.fulfill(json=nothing))
    page.goto(f"{service.url}/?image={id_of(client, 'coffee.jpg')}&target=objects")
    expect(page.get_by_text("No object was found in any other indexed picture.")).to_be_visible()
    expect(page.get_by_text("No other picture is indexed.")).to_be_hidden()


def test_a_region_is_drawn(page: Page, service: Service) -> None:
    page.goto(service.url)
    choose(page, ASTRONAUT)
    settled(page)
    before = scores(page)
    stage = box_on(page, ".stage")
    page.mouse.move(stage["x"] + 0.55 * stage["width"], stage["y"] + 0.6 * stage["height"])
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.75 * stage["width"], stage["y"] + 0.8 * stage["height"], steps=4)
    page.mouse.move(stage["x"] + 0.95 * stage["width"], stage["y"] + 0.95 * stage["height"], steps=4)
    page.mouse.up()
    addressed(page, "region=")
    settled(page)
    [region] = query_of(page)["region"]
    assert [float(side) / 512 for side in region.split(",")] == pytest.approx([0.55, 0.6, 0.95, 0.95], abs=0.02)
    assert scores(page) != pytest.approx(before[: len(scores(page))], abs=0.005)
    page.get_by_role("button", name="Remove your box 1").click()
    expect(page).not_to_have_url(re.compile("region="))


def test_a_region_is_made_and_moved_by_keyboard(page: Page, service: Service) -> None:
    page.goto(service.url)
    choose(page, ASTRONAUT)
    settled(page)
    page.get_by_role("button", name="Draw a box").focus()
    page.keyboard.press("Enter")
    addressed(page, "region=128,128,384,384")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    addressed(page, "region=138.2,128,394.2,373.8")
    settled(page)
    page.keyboard.press("Delete")
    expect(page).not_to_have_url(re.compile("region="))


def test_marks_become_examples(page: Page, service: Service, client: httpx.Client) -> None:
    image = id_of(client, "pants-06.jpg")
    page.goto(f"{service.url}/?image={image}")
    settled(page)
    like, unlike = (str(results(page).nth(place).get_attribute("data-id")) for place in (1, 4))
    results(page).nth(4).hover()
    results(page).nth(4).get_by_role("button", name="Less like this").click()
    addressed(page, f"negative={unlike}")
    settled(page)
    tile = page.locator(f'.results [data-id="{like}"]')
    tile.hover()
    tile.get_by_role("button", name="More like this").click()
    addressed(page, f"positive={like}")
    settled(page)
    asked = {"positive": [image, like], "negative": [unlike], "limit": 30}
    expected = client.post("/v1/search/examples", json=asked).json()["matches"]
    assert [tile.get_attribute("data-id") for tile in results(page).all()] == [m["image"]["id"] for m in expected]
    page.get_by_role("button", name="Clear the marks").click()
    expect(page).not_to_have_url(re.compile("positive"))


def test_only_what_is_alike_is_shown_where_asked(page: Page, service: Service, client: httpx.Client) -> None:
    page.goto(f"{service.url}/?image={id_of(client, 'shoes-01.jpg')}")
    settled(page)
    expect(results(page)).to_have_count(30)
    assert "weak" in bands(page)
    page.get_by_label("Show", exact=True).select_option("alike")
    addressed(page, "min_likeness=0.5")
    settled(page)
    assert set(bands(page)) <= {"alike", "very_alike"}
    expect(page.locator(".results .score").first).to_have_text(re.compile(r"^(very )?alike, \d+ %$"))
    page.get_by_label("Show", exact=True).select_option("identical")
    expect(page.get_by_text("Nothing is that alike")).to_be_visible()
    page.get_by_role("button", name="Show anything").click()
    expect(results(page)).to_have_count(30)


def test_back_shows_the_band_that_was_asked_for(page: Page, service: Service, client: httpx.Client) -> None:
    """Though the choice still has the focus."""
    page.goto(f"{service.url}/?image={id_of(client, 'shoes-01.jpg')}&min_likeness=0.5")
    settled(page)
    page.get_by_label("Show", exact=True).focus()
    page.get_by_label("Show", exact=True).select_option("very alike")
    addressed(page, "min_likeness=0.75")
    expect(page.get_by_label("Show", exact=True)).to_be_focused()
    page.go_back()
    addressed(page, "min_likeness=0.5")
    expect(page.get_by_label("Show", exact=True)).to_have_value("0.5")


@pytest.mark.parametrize(
    ("parameter", "value"), [("color_weight", "0.35"), ("adapt_to", "metadata.kind")], ids=["colour", "labels"]
)
def test_colours_and_labels_guide_the_order(
    page: Page, service: Service, client: httpx.Client, parameter: str, value: str
) -> None:
    image = id_of(client, "hat-01.jpg")
    page.goto(f"{service.url}/?image={image}")
    settled(page)
    if parameter == "color_weight":
        page.get_by_label("From shape to colour").fill(value)
        expect(page.locator("output[for=colour]")).to_have_text("35 % colour")
    else:
        page.get_by_label("Sort by what is alike as").select_option("kind")
    addressed(page, f"{parameter}={value}")
    settled(page)
    similar = f"/v1/images/{image}/similar"
    plain, guided = (
        [match["image"]["id"] for match in client.get(similar, params={"limit": 30, **asked}).json()["matches"]]
        for asked in ({}, {parameter: value})
    )
    assert guided != plain
    expect(results(page).first).to_have_attribute("data-id", guided[0])
    assert [tile.get_attribute("data-id") for tile in results(page).all()] == guided


def test_a_picture_that_shows_very_little_is_told(page: Page, service: Service, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "plain.png")
    page.goto(service.url)
    choose(page, tmp_path / "plain.png")
    settled(page)
    expect(page.get_by_text("This picture shows very little")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Another picture").click()
    chooser.value.set_files(HAT)
    expect(page.get_by_text("This picture shows very little")).to_be_hidden()


def test_filters_by_label_and_by_metadata(page: Page, service: Service, client: httpx.Client) -> None:
    page.goto(f"{service.url}/?image={id_of(client, 'hat-01.jpg')}")
    settled(page)
    page.get_by_label("Metadata key").fill("number")
    page.get_by_label("Test").select_option("lte")
    page.get_by_label("Metadata value").fill("3")
    page.get_by_role("button", name="Add the metadata filter").click()
    expect(page.get_by_text("number \u2264 3")).to_be_visible()
    settled(page)
    assert results(page).count() > 0
    assert all(re.search(r"-0[123]\.jpg", name) for name in names(results(page)))
    page.get_by_role("button", name="Remove the filter").click()
    page.get_by_text("What there is").click()
    page.get_by_role("list", name="detected").get_by_role("button", name="person").click()
    expect(page.get_by_text("detected: person")).to_be_visible()
    settled(page)
    people = client.get("/v1/images", params={"filter": '{"all":[{"field":"labels","eq":"person"}]}'}).json()
    expect(results(page)).to_have_count(min(30, people["total"]))


def test_more_matches_come_by_scrolling(page: Page, service: Service, client: httpx.Client) -> None:
    page.goto(f"{service.url}/?image={id_of(client, 'hat-01.jpg')}")
    settled(page)
    page.mouse.move(900, 500)
    scrolled_to_the_end(page, results(page), 102)
    shown = [str(tile.get_attribute("data-id")) for tile in results(page).all()]
    assert len(set(shown)) == len(shown)
    assert scores(page) == sorted(scores(page), reverse=True)


def test_what_is_no_picture_is_told(page: Page, service: Service, watch: Watch) -> None:
    watch.expect("415")
    page.goto(service.url)
    choose(page, EXAMPLES / "README.md")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("That is not a picture that can be read")
    expect(alert).to_contain_text("unsupported_image_format")


def test_an_own_picture_that_vanishes_is_told(page: Page, service: Service, tmp_path: Path, watch: Watch) -> None:
    watch.expect("ERR_")
    own = tmp_path / "own.jpg"
    own.write_bytes(HAT.read_bytes())
    page.goto(service.url)
    choose(page, own)
    settled(page)
    own.unlink()
    page.get_by_role("radio", name="Both").check()
    expect(page.get_by_role("alert")).to_contain_text("The file cannot be read any more. Choose it again.")


def test_a_busy_service_is_asked_again(page: Page, service: Service, client: httpx.Client, watch: Watch) -> None:
    watch.expect("503")
    asked: list[Route] = []

    def busy_once(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            problem = {"status": 503, "code": "busy", "detail": "Too much at once."}
            route.fulfill(status=503, json=problem, headers={"Retry-After": "1"})

    page.route(re.compile("/similar"), busy_once)
    page.goto(f"{service.url}/?image={id_of(client, 'hat-01.jpg')}")
    expect(page.get_by_text("Trying again in 1 s")).to_be_visible()
    happened(page, lambda: len(asked) == 2)  # and waits for its answer, so that what was told could be seen
    asked[1].continue_()
    settled(page)
    assert len(asked) == 2


def test_a_failure_is_told_and_tried_again(page: Page, service: Service, client: httpx.Client, watch: Watch) -> None:
    watch.expect("Failed to load resource")
    page.route(re.compile("/similar"), lambda route: route.abort())
    page.goto(f"{service.url}/?image={id_of(client, 'hat-01.jpg')}")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    expect(page.locator(".result-status")).to_be_empty()
    page.unroute(re.compile("/similar"))
    page.get_by_role("button", name="Try again").click()
    settled(page)
    assert results(page).count() > 0


def test_a_picture_that_is_gone_is_told(page: Page, service: Service, watch: Watch) -> None:
    watch.expect("404")
    page.goto(f"{service.url}/?image=0a4d55a8-d778-5022-abab-977f9a1b3f7c")
    expect(page.get_by_role("alert")).to_contain_text("The picture is gone")
