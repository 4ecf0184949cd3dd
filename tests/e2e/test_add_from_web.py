"""Adding from the web: lists of URLs, tables with a preview, what failed as a table, and a reload in the middle."""

import csv
import io
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.acting import drop, happened
from tests.pictures import a_picture
from tests.serving import Service


class Shop(BaseHTTPRequestHandler):
    """Serves a picture of its own at each path `/<number>.png`, and nothing else."""

    def do_GET(self) -> None:
        found = re.fullmatch(r"/(\d+)\.png", self.path)
        self.send_response(200 if found else 404)
        self.end_headers()
        if found:
            self.wfile.write(a_picture(90_000 + int(found[1])))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _clean(client: httpx.Client) -> Iterator[None]:
    yield
    theirs = {
        "any": [
            {"field": "source", "prefix": "http://127.0.0.1"},
            {"field": "key", "prefix": "sku-"},
            {"field": "filename", "in": [f"{number}.png" for number in range(3)]},
        ]
    }
    assert client.post("/v1/images/delete", json={"filter": theirs}).status_code == 200


def told(page: Page, text: str) -> None:
    expect(page.locator(".progress-told")).to_have_text(text)


def a_table(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.write_bytes("\r\n".join(lines).encode(encoding))
    return path


def test_a_list_of_urls(page: Page, service: Service, client: httpx.Client, shop: str) -> None:
    page.goto(f"{service.url}/?view=add")
    page.get_by_text("Pictures on the web").click()
    page.get_by_label("Their URLs, one on each line").fill(f"{shop}/1.png\n{shop}/2.png\n\n{shop}/none.png\n")
    page.get_by_role("button", name="Add these pictures").click()
    told(page, "3 of 3 pictures: 2 added, 1 failed")
    expect(page.locator("li", has_text="none.png").locator(".reason")).to_contain_text("404")
    sources = [image["source"] for image in client.get("/v1/images", params={"limit": 2}).json()["items"]]
    assert sorted(sources) == [f"{shop}/1.png", f"{shop}/2.png"]


def test_a_table_is_previewed_and_its_failures_can_be_fed_back(
    page: Page, service: Service, client: httpx.Client, shop: str, tmp_path: Path
) -> None:
    lines = [
        "sku;image_url;kind;number;note;;",
        f"sku-1;{shop}/1.png;hut;1;grün",
        f'sku-2;{shop}/2.png;hut;two;"a ""second""; one"',
        f"sku-1;{shop}/3.png;hut;3;",
        f"sku-4;{shop}/none.png;hut;4;",
        "sku-5;;hut;5;",
    ]
    page.goto(f"{service.url}/?view=add")
    drop(page, a_table(tmp_path / "products.csv", lines, "windows-1252"))
    form = page.get_by_role("region", name="Table")
    expect(form).to_contain_text("5 rows, read as WINDOWS-1252 with semicolons between the columns.")
    expect(form.get_by_label("What sku is")).to_have_value("key")
    expect(form.get_by_label("What image_url is")).to_have_value("url")
    expect(form.get_by_label("What number is")).to_have_value("metadata")
    form.get_by_label("What note is").select_option("left out")
    form.get_by_role("button", name="Add 5 pictures").click()
    told(page, "5 of 5 pictures: 1 added, 4 failed")
    image = client.get("/v1/images/by-key", params={"key": "sku-1"}).json()
    assert image["metadata"] == {"kind": "hut", "number": 1}
    reasons = page.locator(".upload-list li[data-status=failed] .reason")
    expect(reasons.nth(0)).to_have_text('Row 3: "number" is a number, such as 19.9.')
    expect(reasons.nth(1)).to_have_text('Row 4: Row 2 has the name "sku-1" too.')
    expect(reasons.nth(2)).to_contain_text("404")
    expect(reasons.nth(3)).to_have_text('Row 6: There is no URL in "image_url".')

    with page.expect_download() as download:
        page.get_by_role("button", name="Save the failures").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [row["sku"] for row in rows] == ["sku-2", "sku-1", "sku-4", "sku-5"]
    assert rows[0]["note"] == 'a "second"; one'
    assert "404" in rows[2]["reason"]

    rows[0]["number"] = "2"
    mended = io.StringIO()
    writer = csv.DictWriter(mended, rows[0])
    writer.writeheader()
    writer.writerow(rows[0])
    drop(page, a_table(tmp_path / "failures.csv", mended.getvalue().splitlines()))
    expect(form.get_by_label("What reason is")).to_have_value("ignored")
    form.get_by_role("button", name="Add 1 picture").click()
    told(page, "6 of 6 pictures: 2 added, 4 failed")
    found = client.get("/v1/images/by-key", params={"key": "sku-2"}).json()
    assert found["metadata"] == {"kind": "hut", "number": 2, "note": 'a "second"; one'}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("sku,url", "broken.csv has no rows below its first line"),
        ("sku,url,sku\n1,2,3", 'two columns of the name "sku"'),
        ('sku,url\n1,"http://x', "Row 2 is broken"),
    ],
)
def test_a_broken_table_is_named(page: Page, service: Service, tmp_path: Path, content: str, says: str) -> None:
    page.goto(f"{service.url}/?view=add")
    (tmp_path / "broken.csv").write_text(content)
    page.set_input_files("input[accept*=csv]", tmp_path / "broken.csv")
    expect(page.locator(".add-view > .hint")).to_contain_text(says)
    expect(page.get_by_role("region", name="Table")).to_be_hidden()


def test_a_table_without_a_column_of_urls(page: Page, service: Service, tmp_path: Path) -> None:
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[accept*=csv]", a_table(tmp_path / "products.tsv", ["sku\tprice", "1\t2"]))
    page.get_by_role("button", name="Add 1 picture").click()
    expect(page.get_by_role("alert")).to_have_text("Say first which column has the pictures' URLs.")


def test_a_reload_loses_nothing(page: Page, service: Service, shop: str, tmp_path: Path) -> None:
    """Files and URLs that were not sent yet go on, and what was done is still told."""
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(a_picture(91_000 + number))
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[multiple]", tmp_path / "0.png")
    told(page, "1 of 1 picture: 1 added")
    held: list[Route] = []
    page.route(re.compile("/v1/images/batch"), lambda route: held.append(route))  # noqa: PLW0108 - Playwright looks for parameters
    page.set_input_files("input[multiple]", [tmp_path / "1.png", tmp_path / "2.png"])
    page.get_by_text("Pictures on the web").click()
    page.get_by_label("Their URLs, one on each line").fill(f"{shop}/5.png")
    page.get_by_role("button", name="Add these pictures").click()
    happened(page, lambda: len(held) == 2)
    happened(page, lambda: page.evaluate(COUNT_KEPT) == 4)
    page.unroute(re.compile("/v1/images/batch"))
    page.reload()
    told(page, "4 of 4 pictures: 4 added")
    expect(page.locator(".upload-list .name")).to_have_text(["0.png", "1.png", "2.png", f"{shop}/5.png"])
    page.get_by_role("button", name="Clear the list").click()
    happened(page, lambda: page.evaluate(COUNT_KEPT) == 0)
    page.reload()
    expect(page.get_by_role("heading", name="Add pictures")).to_be_visible()
    expect(page.locator(".upload-progress")).to_be_hidden()


COUNT_KEPT = """() => new Promise((resolve) => {
    const opening = indexedDB.open("lookalike-adding", 1);
    opening.onsuccess = () => {
        const counting = opening.result.transaction("items").objectStore("items").count();
        counting.onsuccess = () => { opening.result.close(); resolve(counting.result); };
    };
})"""


def test_a_second_tab_does_not_send_the_same_list(page: Page, service: Service, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(a_picture(91_000))
    page.goto(f"{service.url}/?view=add")
    page.set_input_files("input[multiple]", tmp_path / "0.png")
    expect(page.locator(".progress-told")).to_contain_text("1 of 1 picture")
    with page.context.new_page() as other:
        other.goto(f"{service.url}/?view=add")
        expect(other.get_by_role("heading", name="Add pictures")).to_be_visible()
        expect(other.locator(".upload-progress")).to_be_hidden()
