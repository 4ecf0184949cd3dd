"""How long a body may take, and in which form it may come, on a real server with fakes behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from entrypoints.http.routes.forms import FormRequest
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, listening, serving

BODY = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + a_picture(1) + b"\r\n--B--\r\n"
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: t\r\nContent-Type: multipart/form-data; boundary=B\r\n"
ID = b"0a4d55a8-d778-5022-abab-977f9a1b3f7c"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)


async def sent(app: FastAPI, *pieces: bytes, pause: float) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and JSON of the answer to these pieces, one after the other."""
    async with app.router.lifespan_context(app), listening(app) as address:
        reader, writer = await asyncio.open_connection(*address)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        writer.close()
    return int(head[0].split()[1]), headers, json.loads(body)


@pytest.mark.parametrize("framing", [LENGTH, b"Transfer-Encoding: chunked\r\n\r\n"], ids=["length", "chunks"])
async def test_a_body_that_stops_coming_is_given_up(tmp_path: Path, framing: bytes) -> None:
    app = an_app(tmp_path, http={"body_seconds": 0.2})
    begun = BODY[:100] if framing is LENGTH else b"%x\r\n%s\r\n" % (100, BODY[:100])
    status, headers, problem = await sent(app, HEAD + framing + begun, pause=0)
    assert (status, headers["content-type"]) == (408, "application/problem+json")
    assert (problem["code"], problem["instance"]) == ("body_too_slow", "/v1/embeddings")
    assert "100 bytes" in problem["detail"]
    assert app.state.bytes_in_flight.held == 0


async def test_a_body_that_drips_is_given_up(tmp_path: Path) -> None:
    app = an_app(tmp_path, http={"body_seconds": 0.2, "body_bytes_per_second": 1_000_000})
    drops = [BODY[at : at + 1] for at in range(30)]
    status, _, problem = await sent(app, HEAD + LENGTH, *drops, pause=0.02)
    assert (status, problem["code"]) == (408, "body_too_slow")


async def test_a_body_at_the_least_pace_is_taken(tmp_path: Path) -> None:
    app = an_app(tmp_path, http={"body_seconds": 0.2, "body_bytes_per_second": 50})
    first, *others = [BODY[at : at + 60] for at in range(0, len(BODY), 60)]  # each is worth more than a second
    assert len(others) * 0.05 > 0.4
    assert (await sent(app, HEAD + LENGTH + first, *others, pause=0.05))[0] == 200


async def test_a_body_may_take_for_ever_where_that_is_set(tmp_path: Path) -> None:
    app = an_app(tmp_path, http={"body_seconds": 0})
    assert (await sent(app, HEAD + LENGTH, BODY[:100], BODY[100:], pause=0.3))[0] == 200


async def test_a_batch_that_drips_holds_as_much_as_one_picture(tmp_path: Path) -> None:
    app = an_app(tmp_path, http={"max_upload_bytes": 1024})
    head = HEAD.replace(b"/v1/embeddings", b"/v1/images/batch") + b"Content-Length: 500000000\r\n\r\n"
    async with app.router.lifespan_context(app), listening(app) as address:
        _, writer = await asyncio.open_connection(*address)
        writer.write(head + BODY[:100])
        async with asyncio.timeout(5):
            while not app.state.bytes_in_flight.held:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)
        assert app.state.bytes_in_flight.held == 1024 * 1024 + 1024
        writer.close()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(an_app(tmp_path)) as client:
        yield client


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "x" * 1000])
@pytest.mark.parametrize("path", ["/v1/images", "/v1/images/batch", "/v1/search/examples"])
async def test_compressed_bodies_are_refused(client: httpx.AsyncClient, path: str, coding: str) -> None:
    answer = await client.post(path, content=b"\x1f\x8b", headers={"content-encoding": coding})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("charset", "status"),
    [("utf-8", 200), ("UTF8", 200), ('"us-ascii"', 200), ("utf-7", 415), ("idna", 415), ("unicode_escape", 415)],
)
async def test_forms_are_in_utf_8(client: httpx.AsyncClient, charset: str, status: int) -> None:
    content_type = f"multipart/form-data; boundary=B; charset={charset}"
    answer = await client.post("/v1/embeddings", content=BODY, headers={"content-type": content_type})
    assert answer.status_code == status


MULTIPART = {"content-type": "multipart/form-data; boundary=B"}


async def test_an_operation_without_a_body_reads_none(tmp_path: Path) -> None:
    """Whatever it is called: what is not read takes neither memory nor room on the disk, and is not waited for."""
    asked: list[str] = []
    app = an_app(tmp_path)
    async with serving(app) as client:
        for path, methods in app.openapi()["paths"].items():
            for method, operation in methods.items():
                if "requestBody" not in operation:
                    place = f"{method} {path}"
                    query = "?key=none" if path.endswith("/by-key") else ""
                    answer = await client.request(
                        method, path.format(id=uuid4()) + query, content=told_of(asked, place), headers=MULTIPART
                    )
                    assert answer.status_code in {200, 404}, f"{place}: {answer.text}"
    assert not asked


async def told_of(asked: list[str], place: str) -> AsyncIterator[bytes]:
    """A form that tells when somebody reads it."""
    asked.append(place)
    yield BODY


@pytest.mark.parametrize("request_line", [b"GET /v1/images", b"GET /v1/models", b"DELETE /v1/images/%s" % ID])
async def test_who_announces_a_body_that_nobody_reads_is_answered_without_it(
    tmp_path: Path, request_line: bytes
) -> None:
    app = an_app(tmp_path, http={"body_seconds": 0})
    head = request_line + b" HTTP/1.1\r\nHost: t\r\nContent-Type: multipart/form-data; boundary=B\r\n" + LENGTH
    status, headers, _ = await sent(app, head + BODY[:100], pause=0)
    assert (status, "x-request-id" in headers) == (404 if request_line.startswith(b"DELETE") else 200, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/search/examples"), ("POST", "/v1/images/delete"), ("PATCH", f"/v1/images/{ID.decode()}")],
)
async def test_a_form_has_no_more_room_than_json_where_json_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr(FormRequest, "form", parses_nothing)
    async with serving(an_app(tmp_path)) as client:
        small = await client.request(method, path, content=BODY, headers=MULTIPART)
        large = await client.request(method, path, content=b"x" * 2_000_000, headers=MULTIPART)
    assert (small.status_code, small.json()["code"]) == (422, "validation_failed")
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


def parses_nothing(*_: object, **__: object) -> None:
    raise AssertionError("a form is parsed")


@pytest.mark.parametrize("files", [4, 13, 100])
async def test_too_many_files_are_told_their_limit_however_many_they_are(tmp_path: Path, files: int) -> None:
    async with serving(an_app(tmp_path, http={"max_batch_files": 3})) as client:
        answer = await client.post("/v1/images/batch", files=[("files", ("a.png", b""))] * files)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.json()["detail"] == "The form has more than the 3 files that are accepted."


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({f"x{number}": "" for number in range(129)}, "more than the 128 fields"),
        ({"filter": "x" * 1_100_000}, "A field has more than the 1048576 bytes"),
    ],
    ids=["many", "long"],
)
async def test_too_much_in_fields_is_told_its_limit(tmp_path: Path, fields: dict[str, str], told: str) -> None:
    async with serving(an_app(tmp_path)) as client:
        answer = await client.post("/v1/search", files={"file": a_picture(1)}, data=fields)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert told in answer.json()["detail"]
