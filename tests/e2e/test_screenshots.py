"""Screenshots of the main states: `make screenshots` puts them where the README shows them."""

import io
import os
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.e2e.acting import settled
from tests.e2e.states import open_add, open_browse, open_detail, open_marks, open_search, open_start
from tests.serving import Service

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 800}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(os.environ.get("SCREENSHOTS", tmp_path))


def open_hat(page: Page, service: Service) -> None:
    """A search with one of the hats."""
    where = '{"all": [{"field": "filename", "eq": "hat-09.jpg"}]}'
    [hat] = httpx.get(f"{service.url}/v1/images", params={"filter": where}).json()["items"]
    page.goto(f"{service.url}/?image={hat['id']}")
    settled(page)


@pytest.mark.parametrize(
    ("name", "state", "look"),
    [
        ("page-start", open_start, {"viewport": DESKTOP, "color_scheme": "light"}),
        ("page-search", open_hat, {"viewport": DESKTOP, "color_scheme": "light"}),
        ("page-objects", open_search, {"viewport": DESKTOP, "color_scheme": "dark"}),
        ("page-marks", open_marks, {"viewport": DESKTOP, "color_scheme": "light"}),
        ("page-browse", open_browse, {"viewport": DESKTOP, "color_scheme": "light"}),
        ("page-detail", open_detail, {"viewport": DESKTOP, "color_scheme": "light"}),
        ("page-add", open_add, {"viewport": DESKTOP, "color_scheme": "dark"}),
        ("page-phone", open_search, {"viewport": PHONE, "color_scheme": "light"}),
    ],
)
def test_screenshot(  # noqa: PLR0917
    browser: Browser, service: Service, directory: Path, name: str, state: Any, look: Any
) -> None:
    context = browser.new_context(**look, reduced_motion="reduce")
    page = context.new_page()
    state(page, service)
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.save(directory / f"{name}.jpg", quality=82, optimize=True)
    context.close()
    # A blank page, or one of unloaded pictures, has few colours.
    assert len(np.unique(np.asarray(shot).reshape(-1, 3), axis=0)) > 1000
