"""What visitors do, and what they see then."""

import base64
import mimetypes
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.eventually import until

TILE = ".tile:not(.skeleton)"


def drop(page: Page, *paths: Path) -> None:
    """Drag files from outside over the page, and let go."""
    files = [[p.name, mimetypes.guess_type(p.name)[0] or "", base64.b64encode(p.read_bytes()).decode()] for p in paths]
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, type, content] of files) {
                const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type }));
            }
            return transfer;
        }""",
        files,
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#drop-curtain")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page.locator("#drop-curtain")).to_be_hidden()


def choose(page: Page, path: Path) -> None:
    """By the button of the start page."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a picture").click()
    chooser.value.set_files(path)


def settled(page: Page) -> None:
    """Wait until results are there."""
    expect(page.locator(".result-status")).to_have_text(re.compile("most alike first|newest first|Nothing found"))
    expect(page.locator(".grid-area[aria-busy]")).to_have_count(0)


def happened(page: Page, holds: Callable[[], bool]) -> None:
    """Wait for what the browser tells by events, which arrive only while it is asked something."""
    assert until(lambda: bool(page.evaluate("true")) and holds())


def scrolled_to_the_end(page: Page, tiles: Locator, count: int) -> None:
    """Scroll on for as long as more tiles come, each page of them when it is there."""

    def are_all_there() -> bool:
        page.mouse.wheel(0, 3000)
        page.wait_for_timeout(150)
        return tiles.count() >= count

    assert until(are_all_there)
    expect(tiles).to_have_count(count)


def results(page: Page) -> Locator:
    return page.locator(".results").locator(TILE)


def names(tiles: Locator) -> list[str]:
    """The filenames of tiles, in their order."""
    return [str(tile.get_attribute("title")) for tile in tiles.locator(".tile-link").all()]


def scores(page: Page) -> list[float]:
    """The cosines behind the bands of the results."""
    return [float(str(told.get_attribute("title")).split()[-1]) for told in page.locator(".results .score").all()]


def bands(page: Page) -> list[str]:
    return [str(told.get_attribute("data-band")) for told in page.locator(".results .score").all()]


def addressed(page: Page, pattern: str) -> None:
    """Wait until the address bar holds this."""
    expect(page).to_have_url(re.compile(pattern))
