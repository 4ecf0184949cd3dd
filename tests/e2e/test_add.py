"""Adding many pictures."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.acting import drop, happened
from tests.e2e.watching import Watch
from tests.pictures import a_picture, a_truncated_photo
from tests.serving import Service

MARK = {"all": [{"field": "metadata.lot", "eq": "spring"}]}


@pytest.fixture(autouse=True)
def _clean(client: httpx.Client) -> Iterator[None]:
    """What these tests add is gone afterwards."""
    yield
    names = {"any": [{"field": "filename", "in": [f"{number}.png" for number in range(20)]}]}
    assert client.post("/v1/images/delete", json={"filter": names}).status_code == 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures, one of them below, one corrupt; a text; a hidden file."""
    (tmp_path / "lot" / "below").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "lot" / f"{number}.png").write_bytes(a_picture(70_000 + number))
    (tmp_path / "lot" / "below" / "5.png").write_bytes(a_picture(70_005))
    (tmp_path / "lot" / "corrupt.jpg").write_bytes(a_truncated_photo())
    (tmp_path / "lot" / "notes.txt").write_text("no picture")
    (tmp_path / "lot" / ".hidden.png").write_bytes(a_picture(70_006))
    return tmp_path / "lot"


def statuses(page: Page) -> list[str]:
    return sorted(page.locator(".upload-list .status").all_text_contents())


def told(page: Page, text: str) -> None:
    """Wait until the progress says this."""
    expect(page.locator(".progress-told")).to_have_text(text)


def add_and_delete(page: Page, service: Service, picture: Path) -> None:
    """A deletion that can be undone still."""
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[multiple]", picture)
    told(page, "1 of 1 picture: 1 added")
    page.get_by_role("button", name=f"Details of {picture.name}").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()


def test_a_mixed_folder_with_a_corrupt_file(page: Page, service: Service, client: httpx.Client, folder: Path) -> None:
    page.goto(f"{service.url}/?view=add")
    page.get_by_text("Metadata for what you add next").click()
    page.get_by_role("button", name="Add a field").click()
    page.keyboard.type("lot")
    page.get_by_label("Value", exact=True).fill("spring")
    page.set_input_files("input[webkitdirectory]", folder)
    told(page, "7 of 7 pictures: 6 added, 1 failed")
    expect(page.get_by_text("2 files in the folder are no picture and left out.")).to_be_visible()
    assert statuses(page) == ["Added"] * 6 + ["Failed"]
    corrupt = page.locator("li", has_text="lot/corrupt.jpg")
    expect(corrupt.locator(".reason")).to_contain_text("damaged or incomplete")
    listed = client.get("/v1/images", params={"filter": json.dumps(MARK)}).json()
    below = sorted(str(path.relative_to(folder.parent)) for path in folder.rglob("[0-9].png"))
    assert sorted(image["key"] for image in listed["items"]) == below

    page.get_by_label("Show only failed").check()
    expect(page.locator(".upload-list li:visible")).to_have_count(1)
    page.get_by_label("Show only failed").uncheck()
    page.set_input_files("input[webkitdirectory]", folder)
    told(page, "14 of 14 pictures: 6 added, 6 there before, 2 failed")


def test_what_a_folder_holds_now_replaces_what_it_held(
    page: Page, service: Service, client: httpx.Client, folder: Path
) -> None:
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[webkitdirectory]", folder)
    told(page, "7 of 7 pictures: 6 added, 1 failed")
    (folder / "3.png").write_bytes(a_picture(70_100))
    page.set_input_files("input[webkitdirectory]", folder)
    told(page, "14 of 14 pictures: 6 added, 5 there before, 1 replaced, 2 failed")
    assert statuses(page).count("Replaced") == 1
    image = client.get("/v1/images/by-key", params={"key": "lot/3.png"}).json()
    assert client.get(image["links"]["content"]).content == a_picture(70_100)


def test_a_file_without_a_folder_has_no_key(page: Page, service: Service, client: httpx.Client, folder: Path) -> None:
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[multiple]", folder / "4.png")
    told(page, "1 of 1 picture: 1 added")
    assert client.get("/v1/images").json()["items"][0]["key"] is None


def test_only_failures_are_sent_again(page: Page, service: Service, folder: Path) -> None:
    page.goto(f"{service.url}/?view=add")
    page.evaluate(  # in the page: what a browser tells of its requests may come after what they have done
        """() => {
            window.sent = 0;
            const send = window.fetch;
            window.fetch = (url, options) => {
                window.sent += String(url).includes("/batch");
                return send(url, options);
            };
        }"""
    )
    refused = {"status": 422, "code": "image_unreadable", "detail": "For this test."}
    answer = {"results": [{"filename": "x", "status": "failed", "problem": refused}], "created": 0}
    page.route(re.compile("/v1/images/batch"), lambda route: route.fulfill(status=207, json=answer), times=2)
    drop(page, *(folder / f"{number}.png" for number in range(4)))
    told(page, "4 of 4 pictures: 2 added, 2 failed")
    assert page.evaluate("sent") == 4
    page.get_by_role("button", name="Retry failed").click()
    told(page, "4 of 4 pictures: 4 added")
    assert page.evaluate("sent") == 6


def test_a_busy_service_is_given_its_time(page: Page, service: Service, folder: Path, watch: Watch) -> None:
    """Two at once at most, none while the service asks to wait, and none lost."""
    watch.expect("503")
    page.goto(f"{service.url}/?view=add")
    page.evaluate(
        """() => {
            window.timeline = { now: 0, most: 0, refused: [], begun: [] };
            const send = window.fetch;
            window.fetch = async (url, options) => {
                if (!String(url).includes("/batch")) return send(url, options);
                timeline.begun.push(performance.now());
                timeline.most = Math.max(timeline.most, ++timeline.now);
                const response = await send(url, options);
                timeline.now--;
                if (response.status === 503) timeline.refused.push(performance.now());
                return response;
            };
        }"""
    )

    def busy(route: Route) -> None:
        problem = {"status": 503, "code": "busy", "detail": "Too much at once."}
        route.fulfill(status=503, json=problem, headers={"Retry-After": "2"})

    page.route(re.compile("/v1/images/batch"), busy, times=1)
    drop(page, *(folder / f"{number}.png" for number in range(5)))
    expect(page.get_by_text("The service is busy.")).to_be_visible()
    told(page, "5 of 5 pictures: 5 added")
    timeline = page.evaluate("timeline")
    assert timeline["most"] <= 2
    [refused] = timeline["refused"]
    assert len(timeline["begun"]) == 6
    assert not [at for at in timeline["begun"] if refused < at < refused + 1950]


def test_pause_and_go_on(page: Page, service: Service, folder: Path) -> None:
    page.goto(f"{service.url}/?view=add")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile("/v1/images/batch"), hold)
    drop(page, *(folder / f"{number}.png" for number in range(5)))
    happened(page, lambda: len(held) == 2)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused.")).to_be_visible()
    expect(page.locator(".upload-list .status")).to_have_text(["Waiting"] * 5)
    assert len(held) == 2
    page.unroute(re.compile("/v1/images/batch"))
    page.get_by_role("button", name="Go on").click()
    told(page, "5 of 5 pictures: 5 added")


def test_a_file_that_vanishes_fails_alone(page: Page, service: Service, folder: Path, watch: Watch) -> None:
    watch.expect("ERR_")
    page.goto(f"{service.url}/?view=add")
    held: list[Route] = []

    def hold_two(route: Route) -> None:
        held.append(route)
        if len(held) > 2:
            route.continue_()

    page.route(re.compile("/v1/images/batch"), hold_two)
    page.set_input_files("input[multiple]", [folder / f"{number}.png" for number in range(5)])
    happened(page, lambda: len(held) == 2)
    (folder / "2.png").unlink()
    held[0].continue_()
    held[1].continue_()
    told(page, "5 of 5 pictures: 4 added, 1 failed")
    row = page.locator("li", has_text="2.png")
    expect(row.locator(".reason")).to_have_text("The file cannot be read any more. Choose it again.")


def test_a_file_too_large_is_not_even_sent(page: Page, service: Service, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(b"\xff" * 26_500_000)
    page.goto(f"{service.url}/?view=add")
    page.on("request", lambda request: pytest.fail("sent") if request.method == "POST" else None)
    page.set_input_files("input[multiple]", large)
    expect(page.locator(".reason")).to_contain_text("It has 26.5 MB; the service takes 26.2 MB.")


def test_adding_goes_on_while_elsewhere_is_looked(page: Page, service: Service, folder: Path) -> None:
    page.goto(f"{service.url}/?view=add")
    drop(page, *(folder / f"{number}.png" for number in range(5)))
    page.get_by_role("link", name="Browse").click()
    expect(page.get_by_role("heading", name="Browse")).to_be_visible()
    page.get_by_role("link", name="Add pictures").click()
    told(page, "5 of 5 pictures: 5 added")


@pytest.mark.parametrize("by", ["page", "another"])
def test_what_was_deleted_and_is_added_again_is_shown(
    page: Page, service: Service, client: httpx.Client, folder: Path, by: str
) -> None:
    page.clock.install()
    add_and_delete(page, service, folder / "0.png")
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        page.clock.fast_forward(8_000)
    if by == "page":
        page.set_input_files("input[multiple]", folder / "0.png")
        told(page, "2 of 2 pictures: 2 added")
    else:
        client.post("/v1/images", files={"file": ("0.png", (folder / "0.png").read_bytes())})
    page.get_by_role("link", name="Browse").click()
    expect(page.get_by_role("link", name="0.png: details")).to_be_visible()


def test_browse_counts_no_picture_twice_that_is_added_again(
    page: Page, service: Service, client: httpx.Client, folder: Path
) -> None:
    client.post("/v1/images", files={"file": ("0.png", (folder / "0.png").read_bytes())})
    held: list[Route] = []
    page.route(re.compile("/v1/images/batch"), lambda route: held.append(route))  # noqa: PLW0108 - Playwright looks for parameters
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[multiple]", folder / "0.png")
    happened(page, lambda: bool(held))
    page.get_by_role("link", name="Browse").click()
    listed = f"{client.get('/v1/images').json()['total']} pictures, newest first"
    expect(page.locator(".result-status")).to_have_text(listed)
    with page.expect_response(re.compile("/v1/images/batch")):
        held[0].continue_()
    page.wait_for_timeout(200)  # for what must not happen
    expect(page.locator(".result-status")).to_have_text(listed)


def test_a_picture_added_again_within_the_time_to_undo_stays(
    page: Page, service: Service, client: httpx.Client, folder: Path
) -> None:
    add_and_delete(page, service, folder / "0.png")
    page.get_by_role("button", name="Undo").hover()  # the time does not run out meanwhile, however slow all is
    page.set_input_files("input[multiple]", folder / "0.png")
    told(page, "2 of 2 pictures: 1 added, 1 there before")
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    page.get_by_role("link", name="Browse").click()
    expect(page.get_by_role("link", name="0.png: details")).to_be_visible()
    page.goto("about:blank")  # what is still to be deleted is so now
    where = json.dumps({"all": [{"field": "filename", "eq": "0.png"}]})
    assert client.get("/v1/images", params={"filter": where}).json()["total"] == 1
