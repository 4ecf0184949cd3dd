"""Pictures on their way out."""

import asyncio
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.types import Message

from adapters.telemetry.measured_ports import MeasuredOriginal
from domain.ports.image_store import OpenedOriginal
from entrypoints.http.routes.downloads import PIECE_BYTES, OriginalResponse, content_disposition
from tests.eventually import eventually
from tests.fakes import FakeOriginal
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving


def read(header: str) -> tuple[str, str]:
    """As browsers read it: the kind, and the name, of which the encoded form goes before the plain one."""
    found = re.fullmatch(r"(\w+); filename=\"([^\"]*)\"(?:; filename\*=UTF-8''([^ ;,\"']+))?", header)
    assert found
    kind, plain, encoded = found.groups()
    return kind, plain if encoded is None else unquote(encoded)


@pytest.mark.parametrize(
    "name", ["hat.jpg", "a b;c=d.png", "Müller & Söhne.webp", "帽子.png", 'say "hi".gif', "100%25.bmp", "a'b*c.jpg"]
)
def test_a_name_arrives_as_it_is(name: str) -> None:
    assert read(content_disposition("inline", name)) == ("inline", name)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("hat.jpg", 'inline; filename="hat.jpg"'),
        ('a"b.jpg', "inline; filename=\"a_b.jpg\"; filename*=UTF-8''a%22b.jpg"),
        ("é.jpg", "inline; filename=\"_.jpg\"; filename*=UTF-8''%C3%A9.jpg"),
        ("a%22.jpg", "inline; filename=\"a_22.jpg\"; filename*=UTF-8''a%2522.jpg"),
        ("a\r\nSet-Cookie: b=c\x00\x7f.jpg", 'inline; filename="aSet-Cookie: b=c.jpg"'),
        ("../../etc/passwd", 'inline; filename="passwd"'),
        ("", 'inline; filename="unnamed"'),
    ],
)
def test_no_name_ends_its_header(name: str, header: str) -> None:
    assert content_disposition("inline", name) == header


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/avif", "image/tiff"])
def test_pictures_are_shown_in_a_sandbox(media_type: str) -> None:
    response = OriginalResponse(FakeOriginal(b"picture"), media_type, '"a"', filename="a.jpg")
    assert response.headers["content-type"] == media_type
    assert response.headers["content-disposition"].startswith("inline")
    assert "sandbox" in response.headers["content-security-policy"]
    assert "script" not in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "media_type", ["image/svg+xml", "text/html", "application/pdf", "IMAGE/JPEG", "image/jpeg; a=b"]
)
def test_whatever_an_index_calls_it_nothing_else_is_shown(media_type: str) -> None:
    original = FakeOriginal(b"<svg onload=alert(1)>")
    response = OriginalResponse(original, media_type, '"a"', filename="a.svg")
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")


LARGE = bytes(range(256)) * 40_000
SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}


async def test_an_original_is_read_no_faster_than_the_caller_takes_it() -> None:
    """A server whose buffer is full waits in `send`: uvicorn does."""
    original = FakeOriginal(LARGE)
    may_go_on = asyncio.Semaphore(0)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body"):
            await may_go_on.acquire()

    response = OriginalResponse(original, "image/png", '"a"', filename="a.png")
    answering = asyncio.create_task(response(SCOPE, asyncio.Event().wait, send))
    for taken in range(3):
        assert await eventually(lambda taken=taken: original.given == (taken + 1) * PIECE_BYTES)
        await asyncio.sleep(0.02)
        assert original.given == (taken + 1) * PIECE_BYTES
        may_go_on.release()
    for _ in range(len(LARGE) // PIECE_BYTES + 1):
        may_go_on.release()
    await answering
    assert b"".join(message["body"] for message in sent[1:]) == LARGE


async def test_an_original_is_closed_when_the_caller_hangs_up() -> None:
    original = FakeOriginal(LARGE)
    hung_up = asyncio.Event()

    async def receive() -> Message:
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message.get("body"):
            hung_up.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await OriginalResponse(original, "image/png", '"a"', filename="a.png")(SCOPE, receive, send)
    assert (original.given, original.closed) == (PIECE_BYTES, True)


async def test_an_original_goes_out_in_pieces(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with serving(app) as client:
        image = (await client.post("/v1/images", files={"file": a_picture(1)})).json()
        await app.state.container.store().put(image["sha256"], original=LARGE)
        await app({**SCOPE, "path": image["links"]["content"], "query_string": b""}, asyncio.Event().wait, send)
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(LARGE)).encode()
    assert max(len(message["body"]) for message in sent[1:]) == PIECE_BYTES
    assert b"".join(message["body"] for message in sent[1:]) == LARGE


async def test_nothing_of_an_original_is_read_for_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_: OpenedOriginal, most: int) -> bytes:
        pytest.fail(f"{most} bytes are read.")

    content = a_picture(1)
    async with serving(an_app(tmp_path)) as client:
        image = (await client.post("/v1/images", files={"file": content})).json()
        monkeypatch.setattr(MeasuredOriginal, "read", read)
        head = await client.head(image["links"]["content"])
    assert head.headers["content-length"] == str(len(content))


async def test_an_original_that_is_gone_is_a_problem(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    async with serving(app) as client:
        image = (await client.post("/v1/images", files={"file": a_picture(1)})).json()
        await app.state.container.store().delete(image["sha256"])
        answer = await client.get(image["links"]["content"])
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")
