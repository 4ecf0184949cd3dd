"""HEAD, and which methods an answer names as allowed."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import structlog.testing

from entrypoints.http.routes.documentation import ASSETS
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving

PATHS = [
    "/",
    "/health/live",
    "/health/ready",
    "/v1/images",
    "/v1/images?limit=0",
    "/v1/models",
    "/v1/images/{id}",
    "/v1/images/{id}/content",
    "/v1/images/{id}/thumbnail",
    "/v1/images/0a4d55a8-d778-5022-abab-977f9a1b3f7c",
    "/openapi.json",
    "/session",
    f"{ASSETS}/swagger-ui.css",
    f"{ASSETS}/nothing.css",
]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(an_app(tmp_path, limits={"per_address": "40/hour"})) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_answered_as_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    id_ = (await client.post("/v1/images", files={"file": a_picture(1)})).json()["id"]
    headers = {"x-request-id": "the-same"}
    with structlog.testing.capture_logs() as lines:
        got = await client.get(path.format(id=id_), headers=headers)
        head = await client.head(path.format(id=id_), headers=headers)
    assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b"")
    as_get, as_head = (line for line in lines if line["event"] == "request")
    assert (as_head["method"], as_head["route"], as_head["sent_bytes"]) == ("HEAD", as_get["route"], 0)


async def test_head_of_what_is_current_is_not_modified(client: httpx.AsyncClient) -> None:
    link = (await client.post("/v1/images", files={"file": a_picture(1)})).json()["links"]["content"]
    etag = (await client.head(link)).headers["etag"]
    assert (await client.head(link, headers={"if-none-match": etag})).status_code == 304


async def test_head_is_counted_as_get_is(client: httpx.AsyncClient) -> None:
    statuses = [(await client.head("/v1/images")).status_code for _ in range(41)]
    assert statuses == [200] * 40 + [429]


async def test_head_needs_the_key_that_get_needs(tmp_path: Path) -> None:
    async with serving(an_app(tmp_path, auth={"keys": "read:a-key-to-read"})) as client:
        assert (await client.head("/v1/images")).status_code == 401
        key = {"authorization": "Bearer a-key-to-read"}
        assert (await client.head("/v1/images", headers=key)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", "/v1/search", "POST"),
        ("PUT", "/v1/images", "GET, HEAD, POST"),
        ("PUT", "/v1/images/0a4d55a8-d778-5022-abab-977f9a1b3f7c", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/health/live", "GET, HEAD"),
        ("POST", f"{ASSETS}/swagger-ui.css", "GET, HEAD"),
        ("POST", f"{ASSETS}/nothing.css", "GET, HEAD"),
    ],
)
async def test_what_is_not_allowed_names_what_is(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert method == "HEAD" or answer.json()["detail"] == f"{method} is not allowed here; allowed: {allowed}."
