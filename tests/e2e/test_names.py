"""Keys and sources of pictures, and labels that are told as what they are: guesses."""

import re
from typing import Any

import httpx
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.acting import addressed, names, results
from tests.serving import Service

STRAND = "Holidays/2019/strand-1.png"


def test_key_and_source_are_shown_and_copied(
    page: Page, context: BrowserContext, service: Service, holidays: dict[str, Any]
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{service.url}/?view=browse&show={holidays[STRAND]['id']}")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("dl")).to_contain_text(STRAND)
    expect(dialog.locator("dl")).to_contain_text("file:///photos/0")
    for name, text in (("key", STRAND), ("source", "file:///photos/0")):
        dialog.get_by_role("button", name=f"Copy the {name}").click()
        expect(page.locator("#announcer")).to_have_text(f"The {name} is copied.")
        assert page.evaluate("navigator.clipboard.readText()") == text


def test_a_key_is_copied_where_browsers_give_no_clipboard(
    page: Page, service: Service, holidays: dict[str, Any]
) -> None:
    """Over plain HTTP, that is, from any host but this one."""
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(f"{service.url}/?view=browse&show={holidays[STRAND]['id']}")
    page.get_by_role("button", name="Copy the key").click()
    expect(page.locator("#announcer")).to_have_text("The key is copied.")
    page.get_by_role("button", name="Add a field").click()
    page.keyboard.press("Control+V")
    expect(page.get_by_label("Key", exact=True).last).to_have_value(STRAND)


def test_a_folder_of_a_key_leads_to_what_is_in_it(page: Page, service: Service, holidays: dict[str, Any]) -> None:
    page.goto(f"{service.url}/?view=browse&show={holidays[STRAND]['id']}")
    page.get_by_role("dialog").get_by_role("link", name="2019/").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".result-status")).to_have_text("2 pictures, newest first")
    assert names(results(page)) == ["Holidays/2019/strand-2.png", STRAND]
    addressed(page, re.escape("Holidays"))


def test_a_label_is_told_with_its_confidence_and_below_a_half_as_a_guess(
    page: Page, service: Service, client: httpx.Client
) -> None:
    images = client.get("/v1/images", params={"limit": 200}).json()["items"]
    chosen = next(
        image
        for image in images
        if len({found["label"] for found in image["objects"]}) == len(image["objects"])
        and any(found["score"] < 0.495 for found in image["objects"])
        and any(found["score"] > 0.505 for found in image["objects"])
    )
    page.goto(f"{service.url}/?view=browse&show={chosen['id']}")
    facts = page.locator(".detail-facts > dl")
    expect(facts).to_be_visible()
    terms, texts = (facts.locator(tag).all_text_contents() for tag in ("dt", "dd"))
    told = dict(zip(terms, texts, strict=True))
    for found in chosen["objects"]:
        words = f"{found['label']} {round(found['score'] * 100)} %"
        is_likely = found["score"] >= 0.5
        assert words in told["Detected" if is_likely else "Perhaps"]
        box = page.get_by_role("dialog").get_by_role(
            "button", name=f"{found['label']}, {round(found['score'] * 100)} %"
        )
        expect(box.locator(".box-label")).to_have_text(words if is_likely else f"perhaps {words}")
