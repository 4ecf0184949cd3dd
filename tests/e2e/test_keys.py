"""The page of a service that asks for keys."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.acting import TILE
from tests.e2e.watching import Watch
from tests.pictures import a_photo
from tests.serving import Service, running

SEARCH, READ, WRITE = "search-key-0", "read-key-1", "write-key-2"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"REPOSITORY__BACKEND": "memory", "AUTH__KEYS": f"search:{SEARCH},read:{READ},write:{WRITE}"}
    with running(tmp_path_factory.mktemp("service"), settings) as service:
        with service.client(headers={"authorization": f"Bearer {WRITE}"}) as client:
            for name in ("hat-01.jpg", "hat-02.jpg"):
                form = {"metadata": '{"brand": ["acme", "Zara"], "old": true}'}
                assert client.post("/v1/images", files={"file": (name, a_photo(name))}, data=form).status_code == 201
        yield service


@contextmanager
def another_site(page: str) -> Iterator[str]:
    """The address of a page that another server serves: to browsers `localhost` and 127.0.0.1 are two sites."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode() if self.path == "/" else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()


def sign_in(page: Page, service: Service, key: str) -> None:
    page.goto(service.url)
    page.get_by_role("textbox", name="Key").fill(key)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(TILE)).to_have_count(2)


def test_a_key_is_asked_for_once(page: Page, context: BrowserContext, service: Service, watch: Watch) -> None:
    watch.expect("401")
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(service.url)
    page.get_by_role("textbox", name="Key").fill("wrong-key-9")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("That is not a key of this service.")).to_be_visible()
    page.get_by_role("textbox", name="Key").fill(WRITE)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(TILE)).to_have_count(2)
    # Thumbnails too are there, by the cookie; scripts cannot read it, and it does not tell the key.
    for image in page.locator(".frame img").all():
        expect(image).not_to_have_js_property("naturalWidth", 0)
    assert page.evaluate("document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })") == "{}"
    [cookie] = context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert WRITE not in cookie["value"]
    assert not [address for address in addresses if WRITE in address or "wrong-key" in address]
    page.reload()
    expect(page.locator(TILE)).to_have_count(2)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_signing_out_forgets(page: Page, service: Service, watch: Watch) -> None:
    sign_in(page, service, WRITE)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("textbox", name="Key")).to_be_visible()


def test_a_key_that_only_searches_is_none_for_the_page(page: Page, service: Service, watch: Watch) -> None:
    watch.expect("401")
    watch.expect("403")
    page.goto(service.url)
    page.get_by_role("textbox", name="Key").fill(SEARCH)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("This needs a key with the role read; yours has the role search.")).to_be_visible()
    page.get_by_role("textbox", name="Key").fill(READ)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(TILE)).to_have_count(2)


def test_a_page_of_another_site_shows_thumbnails_by_their_links(page: Page, service: Service, watch: Watch) -> None:
    files = {"file": a_photo("hat-01.jpg")}
    with service.client(headers={"authorization": f"Bearer {SEARCH}"}) as client:
        links = client.post("/v1/search", files=files).json()["matches"][0]["image"]["links"]
    pictures = "".join(f'<img src="{service.url}{links[name]}" alt="{name}">' for name in ("thumbnail", "content"))
    watch.expect("asked elsewhere")
    watch.expect("ERR_BLOCKED_BY_RESPONSE.NotSameOrigin")  # the original
    with another_site(pictures) as address:
        page.goto(address)
        expect(page.get_by_alt_text("thumbnail")).not_to_have_js_property("naturalWidth", 0)
        expect(page.get_by_alt_text("content")).to_have_js_property("complete", True)
        expect(page.get_by_alt_text("content")).to_have_js_property("naturalWidth", 0)


def test_a_reader_is_offered_no_changes(page: Page, service: Service) -> None:
    sign_in(page, service, READ)
    expect(page.get_by_role("link", name="Add pictures")).to_be_hidden()
    page.goto(f"{service.url}/?view=browse")
    page.locator(TILE).first.locator(".tile-link").click()
    expect(page.get_by_role("button", name="Find similar").last).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_be_hidden()
    metadata = page.locator(".detail-metadata")
    expect(metadata).to_contain_text("acme, Zara")
    expect(metadata).to_contain_text("yes")
    expect(metadata.locator("input, select, button")).to_have_count(0)
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Select")).to_be_hidden()


def test_a_writer_changes_by_the_page(page: Page, service: Service) -> None:
    sign_in(page, service, WRITE)
    page.goto(f"{service.url}/?view=browse")
    page.locator(TILE).first.locator(".tile-link").click()
    page.get_by_role("button", name="Add a field").click()
    page.keyboard.type("seen")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()


def test_the_cookie_alone_changes_nothing(page: Page, context: BrowserContext, service: Service) -> None:
    """What another site could make the browser send: the cookie, but not the page's header."""
    sign_in(page, service, WRITE)
    cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
    with httpx.Client(base_url=service.url, cookies=cookies) as client:
        [image, _] = client.get("/v1/images").json()["items"]
        assert client.delete(f"/v1/images/{image['id']}").status_code == 401
        assert client.post("/v1/images", files={"file": a_photo("hat-03.jpg")}).status_code == 401
        page_header = {"X-Lookalike-Page": "1"}
        assert client.patch(image["links"]["self"], json={"metadata": {}}, headers=page_header).status_code == 200
        assert client.patch(image["links"]["self"], json={"metadata": {}}, headers={
            **page_header, "authorization": f"Bearer {READ}"}).status_code == 403  # fmt: skip
        forged = {name: "0" * len(value) for name, value in cookies.items()}
    assert httpx.get(f"{service.url}/v1/images", cookies=forged).status_code == 401
    assert re.fullmatch("[0-9a-f]{64}", next(iter(cookies.values())))
