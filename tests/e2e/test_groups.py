"""Results that are grouped by what pictures have in common."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.acting import addressed, names, results, settled
from tests.serving import Service


def asked(client: httpx.Client, image: str, **options: Any) -> list[dict[str, Any]]:
    matches: list[dict[str, Any]] = client.get(f"/v1/images/{image}/similar", params=options).json()["matches"]
    return matches


def named(match: dict[str, Any]) -> str:
    return str(match["image"]["key"] or match["image"]["filename"])


def test_each_group_shows_its_best_and_opens(page: Page, service: Service, client: httpx.Client) -> None:
    hat = {"filter": '{"all":[{"field":"filename","eq":"hat-01.jpg"}]}'}
    [image] = client.get("/v1/images", params=hat).json()["items"]
    page.goto(f"{service.url}/?image={image['id']}")
    settled(page)
    page.get_by_label("Group by").select_option("metadata.kind")
    addressed(page, "group_by=metadata.kind")
    expected = asked(client, image["id"], group_by="metadata.kind", group_size=10, limit=30)
    expect(page.locator(".result-status")).to_have_text(re.compile(f"^{len(expected)} groups"))
    assert names(results(page)) == [named(match) for match in expected]

    place, first = next((place, match) for place, match in enumerate(expected) if match["group"]["images"] > 1)
    others = first["group"]["images"] - 1
    more = results(page).nth(place).get_by_role("button", name=f"+ {others} more")
    more.press("Enter")
    opened = [named(match) for match in first["group"]["more"]]
    assert names(results(page))[place + 1 : place + 1 + len(opened)] == opened
    button = results(page).nth(place).get_by_role("button", name="fewer")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(results(page)).to_have_count(len(expected))
    page.go_back()
    expect(page.locator(".result-status")).to_have_text(re.compile("pictures"))


@pytest.mark.usefixtures("holidays")
def test_a_group_larger_than_what_is_told_leads_to_all_of_it(
    page: Page, service: Service, client: httpx.Client
) -> None:
    image = client.get("/v1/images/by-key", params={"key": "Work/plan.png"}).json()
    page.goto(f"{service.url}/?image={image['id']}&group_by=metadata.number")
    settled(page)
    large = next(
        match["group"]
        for match in asked(client, image["id"], group_by="metadata.number", group_size=10, limit=30)
        if match["group"]["images"] > 10
    )
    page.get_by_role("button", name=f"+ {large['images'] - 1} more").first.click()
    page.get_by_role("link", name=f"All {large['images']}").click()
    expect(page.locator(".result-status")).to_have_text(f"{large['images']} pictures, newest first")


@pytest.mark.usefixtures("holidays")
def test_the_same_file_under_several_keys_is_one_group(page: Page, service: Service, client: httpx.Client) -> None:
    first = client.get("/v1/images/by-key", params={"key": "Holidays/2019/strand-1.png"}).json()
    content = client.get(first["links"]["content"]).content
    form = {"key": "Holidays/copy.png"}
    client.post("/v1/images", files={"file": ("copy.png", content)}, data=form).raise_for_status()
    plan = client.get("/v1/images/by-key", params={"key": "Work/plan.png"}).json()
    page.goto(f"{service.url}/?image={plan['id']}&group_by=sha256")
    settled(page)
    expect(page.get_by_role("button", name="+ 1 more")).to_have_count(1)
    page.get_by_role("button", name="+ 1 more").click()
    expect(page.locator(".of-group")).to_have_count(1)
