"""Accessibility, colour schemes, sizes of screens, and what the page may load."""

import gzip
import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response, expect

from entrypoints.web.page import STATIC
from tests.e2e.acting import TILE, choose, results, settled
from tests.e2e.conftest import DESKTOP, EXAMPLES
from tests.e2e.states import STATES, open_browse, open_start
from tests.e2e.watching import Watch
from tests.serving import Service

PHONE = {"width": 390, "height": 844}
WIDE = {"width": 2200, "height": 1100}
LARGEST_PAGE = 150_000


def offences(page: Page) -> list[dict[str, Any]]:
    """What axe finds that is serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        {"rule": each["id"], "nodes": [node["html"][:160] for node in each["nodes"]]}
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_serious(  # noqa: PLR0917
    browser: Browser, service: Service, watch: Watch, state: Any, size: Any, scheme: Any
) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    watch.over(page)
    state(page, service)
    assert offences(page) == []
    context.close()
    watch.assert_clean()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("size", [PHONE, DESKTOP, WIDE], ids=["phone", "desktop", "wide"])
def test_nothing_stands_out_to_the_side(page: Page, service: Service, state: Any, size: Any) -> None:
    page.set_viewport_size(size)
    state(page, service)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("size", [PHONE, DESKTOP, WIDE], ids=["phone", "desktop", "wide"])
def test_rows_of_tiles_are_justified(page: Page, service: Service, size: Any) -> None:
    page.set_viewport_size(size)
    open_browse(page, service)
    rows: dict[int, list[dict[str, float]]] = {}
    for tile in page.locator(TILE).evaluate_all("tiles => tiles.map((tile) => tile.getBoundingClientRect().toJSON())"):
        rows.setdefault(round(tile["top"]), []).append(tile)
    right = page.locator(".grid").evaluate("grid => grid.getBoundingClientRect().right")
    *full, _last = rows.values()
    assert len(full) > 2
    for row in full:
        assert row[-1]["right"] == pytest.approx(right, abs=1.5)
        assert max(tile["height"] for tile in row) - min(tile["height"] for tile in row) < 1.5


def test_dark_is_dark_and_light_is_light(page: Page, service: Service) -> None:
    page.goto(service.url)
    paper = "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)"
    assert min(page.evaluate(paper)) > 200
    page.emulate_media(color_scheme="dark")
    assert max(page.evaluate(paper)) < 60


def test_a_finger_draws_only_when_asked_to(browser: Browser, service: Service) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    page = context.new_page()
    open_start(page, service)
    expect(page.get_by_role("button", name="Take a photo")).to_be_visible()
    choose(page, EXAMPLES / "photos" / "hat-01.jpg")
    settled(page)
    stage = page.locator(".stage")
    assert stage.evaluate("stage => getComputedStyle(stage).touchAction") == "auto"
    page.get_by_role("button", name="Draw a box").tap()
    assert stage.evaluate("stage => getComputedStyle(stage).touchAction") == "none"
    area = stage.bounding_box()
    assert area is not None
    touch = context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.3), ("touchMove", 0.5), ("touchMove", 0.8), ("touchEnd", None)):
        points = [{"x": area["x"] + share * area["width"], "y": area["y"] + share * area["height"]}] if share else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page).to_have_url(re.compile("region="))
    context.close()


def test_everything_works_by_keyboard(page: Page, service: Service) -> None:
    page.goto(service.url)
    expect(page.locator(TILE)).to_have_count(24)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.locator(".tile-link").first.focus()
    outline = page.locator(".tile-link").first.evaluate("link => getComputedStyle(link).outlineStyle")
    page.keyboard.press("Enter")
    settled(page)
    assert outline == "solid"
    results(page).first.locator(".tile-link").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(results(page).first.get_by_role("button", name="Details")).to_be_focused()


def test_all_of_the_page_is_small(page: Page, service: Service) -> None:
    loaded: list[int] = []

    def note(response: Response) -> None:
        if "/assets/" in response.url or response.url == f"{service.url}/":
            loaded.append(int(response.headers["content-length"]))

    page.on("response", note)
    page.goto(service.url)
    expect(page.locator(TILE)).to_have_count(24)
    assert len(loaded) > 10
    assert 0 < sum(loaded) < LARGEST_PAGE
    whole = sum(len(gzip.compress(path.read_bytes())) for path in STATIC.rglob("*.*"))
    assert whole < LARGEST_PAGE


def test_the_policy_lets_nothing_foreign_or_inline_through(page: Page, service: Service, watch: Watch) -> None:
    watch.expect("Content Security Policy")
    page.goto(service.url)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.foreign = true";
            document.body.append(script);
            const style = document.createElement("style");
            style.textContent = "body { display: none }";
            document.head.append(style);
        }"""
    )
    assert page.evaluate("window.foreign") is None
    expect(page.locator("body")).to_be_visible()
    refused = page.evaluate("fetch('http://127.0.0.2:1/').then(() => 'sent', (error) => error.name)")
    assert refused == "TypeError"
