"""Pictures by URL through the API: fetched from real servers on loopback, whose host is allowed."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from tests.far_side import FarSide, far_side, ok, redirect
from tests.unit.entrypoints.application import an_app, serving

ADMIN, WRITE, READ, SEARCH = (f"{role}-key-of-16-or-more" for role in ("admin", "write", "read", "search"))


def a_png(shade: int, side: int = 48) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 90, 200 - shade)).save(file, "PNG")
    return file.getvalue()


HAT = a_png(20)


def with_urls(directory: Path, **sections: Any) -> FastAPI:
    fetch = {"enabled": True, "allowed_hosts": "127.0.0.1"} | sections.pop("fetch", {})
    return an_app(directory, fetch=fetch, **sections)


@pytest.fixture
async def side() -> AsyncIterator[FarSide]:
    async with far_side({"/hats/a%20hat.png": ok(HAT), "/text": ok(b"no picture")}) as found:
        yield found


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(with_urls(tmp_path)) as found:
        yield found


def at(side: FarSide, path: str = "/hats/a%20hat.png") -> str:
    return side.url(path, host="127.0.0.1")


OPERATIONS = ["/v1/images", "/v1/search", "/v1/detections", "/v1/embeddings"]


@pytest.mark.parametrize("path", OPERATIONS)
async def test_an_url_is_as_good_as_a_file(client: httpx.AsyncClient, side: FarSide, path: str) -> None:
    by_url = await client.post(path, data={"url": f" {at(side)} "})
    by_file = await client.post(path, files={"file": ("a hat.png", HAT)})
    assert by_url.is_success, by_url.text
    assert len(side.heads) == 1
    if path == "/v1/images":
        assert (by_url.status_code, by_file.status_code) == (201, 200)
        assert by_url.json()["source"] == at(side)
        assert by_url.json()["filename"] == "a hat.png"
        assert by_file.json()["id"] == by_url.json()["id"]
    else:
        assert by_url.json() == by_file.json()


async def test_a_source_that_is_given_stays(client: httpx.AsyncClient, side: FarSide) -> None:
    given = {"url": at(side), "source": "the shop", "key": "sku-1", "metadata": '{"price": 9.5}'}
    image = (await client.post("/v1/images", data=given)).json()
    assert (image["source"], image["key"], image["metadata"]) == ("the shop", "sku-1", {"price": 9.5})


@pytest.mark.parametrize("path", OPERATIONS)
@pytest.mark.parametrize("given", ["neither", "both", "empty"])
async def test_exactly_one_of_both_is_given(client: httpx.AsyncClient, side: FarSide, path: str, given: str) -> None:
    data = {"neither": {}, "both": {"url": at(side)}, "empty": {"url": ""}}[given]
    files = {"file": ("hat.png", HAT)} if given == "both" else None
    answer = await client.post(path, data=data, files=files)
    assert answer.status_code == 422
    assert "exactly one of the two" in answer.json()["detail"]
    assert not side.heads


@pytest.mark.parametrize("path", OPERATIONS)
async def test_by_default_nothing_is_fetched(tmp_path: Path, side: FarSide, path: str) -> None:
    async with serving(an_app(tmp_path)) as client:
        alone = await client.post(path, data={"url": at(side)})
        batch = await client.post("/v1/images/batch", json={"items": [{"url": at(side)}]})
    for answer in (alone, batch):
        assert (answer.status_code, answer.json()["code"]) == (403, "fetching_disabled")
        assert "LOOKALIKE_FETCH__ENABLED" in answer.json()["detail"]
    assert not side.connections


@pytest.mark.parametrize("path", OPERATIONS)
async def test_fetching_takes_the_role_write(tmp_path: Path, side: FarSide, path: str) -> None:
    keys = ",".join(f"{key.partition('-')[0]}:{key}" for key in (WRITE, READ, SEARCH))
    async with serving(with_urls(tmp_path, auth={"keys": keys})) as client:
        for key, status in ((SEARCH, 403), (READ, 403), (WRITE, 200)):
            answer = await client.post(path, data={"url": at(side)}, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == (201 if path == "/v1/images" and status == 200 else status)
            if status == 403:
                assert answer.json()["code"] == "forbidden"
            if key == READ:
                assert "role write" in answer.json()["detail"]
    assert len(side.heads) == 1
    assert "Bearer" not in side.heads[0]


async def test_inner_addresses_are_refused(tmp_path: Path, side: FarSide) -> None:
    side.answers["/away"] = redirect(f"http://127.0.0.2:{side.port}/hats/a%20hat.png")
    async with serving(with_urls(tmp_path, fetch={"allowed_hosts": f"127.0.0.1:{side.port}"})) as client:
        for url in (side.url(host="localhost"), at(side, "/away"), "ftp://127.0.0.1/", "http://me:secret@127.0.0.1/"):
            answer = await client.post("/v1/search", data={"url": url})
            assert (answer.status_code, answer.json()["code"]) == (422, "fetch_refused")
            assert "secret" not in answer.text
    assert side.connections == 1


@pytest.mark.parametrize(
    ("path", "status", "code", "retryable"),
    [
        ("/none?secret=1", 422, "fetch_failed", False),
        ("/busy", 422, "fetch_failed", True),
        ("/large", 422, "fetch_failed", False),
        ("/text", 415, "unsupported_image_format", None),
    ],
)
async def test_failures_are_told(
    tmp_path: Path, side: FarSide, path: str, status: int, code: str, *, retryable: bool | None
) -> None:
    side.answers |= {"/busy": ok(b"", status="503 Busy"), "/large": ok(bytes(3000))}
    async with serving(with_urls(tmp_path, http={"max_upload_bytes": 2000})) as client:
        answer = await client.post("/v1/images", data={"url": at(side, path)})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("retryable")) == (status, code, retryable)
    assert "secret" not in answer.text


async def test_the_caller_is_not_kept_longer_than_it_waits(client: httpx.AsyncClient, side: FarSide) -> None:
    async def hang(_: Any) -> None:
        await asyncio.Event().wait()

    side.answers["/slow"] = hang
    headers = {"X-Request-Deadline-Ms": "200"}
    answer = await client.post("/v1/search", data={"url": at(side, "/slow")}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_passed")


async def test_settings_are_those_of_the_fetcher(tmp_path: Path, side: FarSide) -> None:
    side.answers["/away"] = redirect("/hats/a%20hat.png")
    fetch = {"max_redirects": 0, "user_agent": "Shop/1", "timeout_seconds": 5}
    async with serving(with_urls(tmp_path, fetch=fetch)) as client:
        answer = await client.post("/v1/search", data={"url": at(side, "/away")})
    assert "redirects more than 0 times" in answer.json()["detail"]
    assert "User-Agent: Shop/1" in side.heads[0]


async def test_what_is_fetched_counts_as_bodies_in_flight(tmp_path: Path, side: FarSide) -> None:
    app = with_urls(tmp_path, http={"max_upload_bytes": 2000, "max_bytes_in_flight": 8000})
    async with serving(app) as client:
        with app.state.bytes_in_flight.hold(6000):
            answer = await client.post("/v1/search", data={"url": at(side)})
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert not side.heads
        assert (await client.post("/v1/search", data={"url": at(side)})).status_code == 200
        assert app.state.bytes_in_flight.held == 0


async def test_a_batch_of_urls(client: httpx.AsyncClient, side: FarSide) -> None:
    side.answers |= {f"/{number}.png": ok(a_png(number)) for number in range(20)}
    items: list[dict[str, Any]] = [
        {"url": at(side, f"/{number}.png?v=1"), "key": f"sku-{number}", "metadata": {"number": number}}
        for number in range(20)
    ]
    items[3] |= {"source": "the shop"}
    items[5]["url"] = at(side, "/none")
    items[7]["url"] = "http://10.0.0.1/"
    items[9]["metadata"] = {"nested": {}}
    items[11]["url"] = at(side, "/text")
    answer = await client.post("/v1/images/batch", json={"items": items})
    assert answer.status_code == 207, answer.text
    body = answer.json()
    failed = {
        place: item["problem"]["code"] for place, item in enumerate(body["results"]) if item["status"] == "failed"
    }
    assert failed == {
        5: "fetch_failed",
        7: "fetch_refused",
        9: "invalid_metadata",
        11: "unsupported_image_format",
    }
    assert body["results"][5]["problem"]["retryable"] is False
    assert (body["created"], body["failed"]) == (16, 4)
    assert [item["key"] for item in body["results"]] == [item["key"] for item in items]
    first, third = body["results"][0], body["results"][3]
    assert (first["filename"], first["image"]["source"]) == ("0.png", at(side, "/0.png?v=1"))
    assert third["image"]["source"] == "the shop"
    again = await client.post("/v1/images/batch", json={"items": items[:1], "if_exists": "keep"})
    assert again.json()["existed"] == 1


async def test_pictures_of_a_batch_are_fetched_ahead(client: httpx.AsyncClient, side: FarSide) -> None:
    together = asyncio.Event()

    async def wait_for_others(writer: asyncio.StreamWriter) -> None:
        if side.busy >= 4:
            together.set()
        await together.wait()
        writer.write(ok(HAT))

    side.answers["/slow.png"] = wait_for_others
    items = [{"url": at(side, "/slow.png"), "key": f"sku-{number}"} for number in range(6)]
    async with asyncio.timeout(60):
        answer = await client.post("/v1/images/batch", json={"items": items})
    assert answer.json()["created"] == 6
    assert side.busiest == 4


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"items": []}, 422, "items"),
        ({}, 422, "items"),
        ({"items": [{"key": "a"}]}, 422, "items.0.url"),
        ({"items": [{"url": "http://a/", "price": 1}]}, 422, "no such parameter"),
        ({"items": [{"url": "http://a/"}], "metadata": {}}, 422, "no such parameter"),
        ({"items": [{"url": "http://a/"}] * 4}, 413, "at most 3"),
    ],
)
async def test_a_batch_is_checked(tmp_path: Path, body: Any, status: int, said: str) -> None:
    async with serving(with_urls(tmp_path, http={"max_batch_files": 3})) as client:
        answer = await client.post("/v1/images/batch", json=body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("path", OPERATIONS)
async def test_json_is_told_to_come_as_a_form(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"url": "http://shop.example/hat.jpg"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "multipart/form-data" in answer.json()["detail"]


async def test_a_batch_of_files_is_still_a_form(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/images/batch", files=[("files", ("hat.png", HAT))])).json()["created"] == 1
    answer = await client.post("/v1/images/batch", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


async def test_the_batch_is_documented(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    content = document["paths"]["/v1/images/batch"]["post"]["requestBody"]["content"]
    assert content.keys() == {"multipart/form-data", "application/json"}
    schemas = document["components"]["schemas"]
    assert schemas["UrlBatchIn"]["examples"]
    assert {"url", "key", "source", "metadata"} == schemas["PictureAtUrl"]["properties"].keys()
    assert "file" not in schemas["IndexForm"].get("required", [])
