"""How the web page's files are served, and what they may hold."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from entrypoints.web.page import STATIC
from tests.unit.entrypoints.application import an_app, serving

SCRIPTS = sorted(STATIC.glob("js/*.js"))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(an_app(tmp_path)) as client:
        yield client


def assets(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="(assets/[^"]+)"', page)


async def test_the_page_is_asked_for_and_its_assets_are_kept(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert len(assets(page.text)) >= 8
    for path in assets(page.text):
        asset = await client.get(f"/{path}")
        assert asset.status_code == 200, path
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["x-content-type-options"] == "nosniff"


async def test_modules_find_each_other(client: httpx.AsyncClient) -> None:
    """By relative addresses, which the digest in the path is part of."""
    main = next(path for path in assets((await client.get("/")).text) if path.endswith("main.js"))
    media_types = {(await client.get(f"/{main}/../{script.name}")).headers["content-type"] for script in SCRIPTS}
    assert media_types == {"text/javascript; charset=utf-8"}


async def test_a_current_copy_is_not_sent_again(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    again = await client.get("/", headers={"if-none-match": f'"other", W/{page.headers["etag"]}'})
    assert again.status_code == 304
    assert not again.content
    assert (await client.get("/", headers={"if-none-match": '"other"'})).status_code == 200


async def test_it_is_compressed_for_those_who_take_it(client: httpx.AsyncClient) -> None:
    path = "/" + next(path for path in assets((await client.get("/")).text) if path.endswith(".css"))
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    packed = await client.get(path, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0))
    assert packed.headers["vary"] == "Accept-Encoding"


async def test_the_policy_allows_only_ourselves(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/")).headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["main.js", "../page.py", "%2e%2e/page.py", "js/none.js", ""])
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    folder = assets((await client.get("/")).text)[0].split("/")[1]
    assert (await client.get(f"/assets/{folder}/{path}")).status_code == 404


async def test_where_no_keys_are_there_is_no_session(client: httpx.AsyncClient) -> None:
    session = (await client.get("/session")).json()
    assert session == {"keys": False, "role": "admin", "max_upload_bytes": 25 * 1024 * 1024, "fetching": False}
    assert "set-cookie" not in (await client.post("/session")).headers


async def test_a_cookie_over_https_stays_there(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, auth={"keys": "read:a-key-of-ours"})) as client:
        key = {"authorization": "Bearer a-key-of-ours"}
        over_http = (await client.post("/session", headers=key)).headers["set-cookie"]
        over_https = (await client.post("https://t/session", headers=key)).headers["set-cookie"]
        assert (await client.post("/session", headers={"authorization": "Bearer another"})).status_code == 401
        assert (await client.get("https://t/session")).json()["role"] == "read"
        await client.delete("https://t/session")
        assert (await client.get("https://t/session")).json()["role"] is None
    assert "Secure" not in over_http
    for part in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert part in over_https


def test_nothing_in_the_page_names_another_host() -> None:
    for path in STATIC.rglob("*.*"):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text), path.name


def test_text_reaches_the_document_as_text() -> None:
    for script in SCRIPTS:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text())
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)


def test_files_have_one_subject_each() -> None:
    for path in STATIC.rglob("*.*"):
        assert len(path.read_text().splitlines()) <= 300, path.name
