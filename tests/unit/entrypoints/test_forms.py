"""Multipart forms as raw bodies: every name arrives as it was sent."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message

from domain.errors import BodyTooLargeError
from entrypoints.http.routes.forms import MAX_FIELDS, FormRequest, names_of_part
from tests.pictures import a_picture
from tests.unit.entrypoints.application import an_app, serving

SENT = [
    ('filename="hat.jpg"', "hat.jpg"),
    ("filename=hat.jpg", "hat.jpg"),
    ('FileName = "hat.jpg"', "hat.jpg"),
    ('filename="  hat; .jpg "', "  hat; .jpg "),
    ('filename="Größe 大.png"', "Größe 大.png"),
    ('filename="a/b/hat.jpg"', "a/b/hat.jpg"),
    # Browsers write a quote or a line's end by its percent sign, and everything else as it is.
    ('filename="a%22b%0D%0A.jpg"', "a%22b%0D%0A.jpg"),
    ('filename="100%25.jpg"', "100%25.jpg"),
    ('filename="C:\\Users\\me\\hat.jpg"', "C:\\Users\\me\\hat.jpg"),
    ('filename="\\\\host\\share\\hat.jpg"', "\\host\\share\\hat.jpg"),
    ('filename="hat\\"', "hat\\"),
    # Programs write backslashes before quotes and backslashes.
    ('filename="a\\"b.jpg"', 'a"b.jpg'),
    ('filename="a\\\\b.jpg"', "a\\b.jpg"),
    ('filename="hat\\\\"', "hat\\"),
    ('filename="a"b.jpg"', 'a"b.jpg'),
    ('filename=""', ""),
    ("filename*=UTF-8''hat.jpg", "hat.jpg"),
    ("filename*=utf-8'de'Gr%C3%B6%C3%9Fe.png", "Größe.png"),
    ("filename*=\"UTF-8''hat.jpg\"", "hat.jpg"),
    ("filename*=UTF-8''%22a%5Cb%22%3B%20%0A%2522.jpg", '"a\\b"; \n%22.jpg'),
    ("filename*=UTF-8''%20%20hat.jpg%20", "  hat.jpg "),
    ("filename*=UTF-8''a%2Fb%27s.jpg", "a/b's.jpg"),
    ("filename=\"fallback\"; filename*=UTF-8''hat.jpg", "hat.jpg"),
    ("filename*=UTF-8''hat.jpg; filename=\"fallback\"", "hat.jpg"),
    # A name that is not written as it should be does not count (RFC 8187, section 3.2.1).
    ("filename=\"hat.jpg\"; filename*=ISO-8859-1''Gr%F6%DFe", "hat.jpg"),
    ("filename=\"hat.jpg\"; filename*=UTF-8''%FF", "hat.jpg"),
    ('filename="hat.jpg"; filename*=other.jpg', "hat.jpg"),
]


@pytest.mark.parametrize(("parameters", "name"), SENT)
async def test_a_files_name_arrives_as_it_was_sent(parameters: str, name: str) -> None:
    for disposition in (f'form-data; name="file"; {parameters}', f'form-data; {parameters}; name="file"'):
        assert await names_of_files(part(disposition, b"hat")) == [("file", name)]


@pytest.mark.parametrize("parameters", ["filename*=hat.jpg", "filename*=UTF-8''%FF", "x=y", ""])
def test_a_part_without_a_files_name_is_a_field(parameters: str) -> None:
    assert names_of_part(f'form-data; name="file"; {parameters}'.encode()) == ("file", None)


def test_a_name_that_is_not_utf_8_is_latin_1() -> None:
    assert names_of_part('form-data; name="file"; filename="Größe"'.encode("latin-1")) == ("file", "Größe")


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_name_arrives_by_its_extended_form(name: str) -> None:
    disposition = f'form-data; name="file"; filename="x"; filename*=UTF-8\'\'{quote(name, safe="")}'
    assert names_of_part(disposition.encode()) == ("file", name)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=200))
def test_any_name_arrives_quoted(name: str) -> None:
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    assert names_of_part(f'form-data; name="file"; filename="{quoted}"; x="y"'.encode()) == ("file", name)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_disposition_is_read(disposition: bytes) -> None:
    names_of_part(disposition)
    names_of_part(b'form-data; name="file"; filename=' + disposition)


async def test_metadata_finds_a_file_by_its_extended_name(tmp_path: Path) -> None:
    body = part('form-data; name="files"; filename="x.png"; filename*=UTF-8\'\'%20%22a%22.png', a_picture(1), end=b"")
    body += part('form-data; name="metadata"', json.dumps({' "a".png': {"side": "left"}}).encode())
    headers = {"content-type": "multipart/form-data; boundary=B"}
    async with serving(an_app(tmp_path)) as client:
        answer = await client.post("/v1/images/batch", content=body, headers=headers)
    [result] = answer.json()["results"]
    assert (result["filename"], result["image"]["metadata"]) == (' "a".png', {"side": "left"})


async def test_a_file_with_an_extended_name_alone_is_a_file(tmp_path: Path) -> None:
    body = part("form-data; name=\"file\"; filename*=UTF-8''%E5%A4%A7.png", a_picture(1))
    headers = {"content-type": "multipart/form-data; boundary=B"}
    async with serving(an_app(tmp_path)) as client:
        answer = await client.post("/v1/images", content=body, headers=headers)
    assert (answer.status_code, answer.json()["filename"]) == (201, "大.png")


async def test_a_form_arrives_whole_however_it_is_cut() -> None:
    body = part('form-data; name="a"', b"1\r\n--C", end=b"") + part('form-data; name="f"; filename="x"', b"\x00" * 50)
    for size in (1, 7, len(body)):
        async with form_of(body, size=size) as form:
            assert isinstance(file := form["f"], UploadFile)
            assert (form["a"], await file.read(), file.size) == ("1\r\n--C", b"\x00" * 50, 50)


async def test_too_many_fields_of_a_url_encoded_form_are_refused() -> None:
    with pytest.raises(BodyTooLargeError, match="128 fields"):
        async with form_of(b"&".join([b"a=b"] * (MAX_FIELDS + 1)), content_type="application/x-www-form-urlencoded"):
            pass


def part(disposition: str, content: bytes, *, end: bytes = b"--B--\r\n") -> bytes:
    return b"--B\r\nContent-Disposition: %s\r\n\r\n%s\r\n%s" % (disposition.encode(), content, end)


async def names_of_files(body: bytes) -> list[tuple[str, str | None]]:
    async with form_of(body) as form:
        return [(name, value.filename) for name, value in form.multi_items() if not isinstance(value, str)]


@asynccontextmanager
async def form_of(
    body: bytes, *, size: int = 10_000, content_type: str = "multipart/form-data; boundary=B"
) -> AsyncIterator[FormData]:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def receive() -> Message:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())], "app": None}
    form = await FormRequest(scope, receive, max_files=10).form()
    try:
        yield form
    finally:
        await form.close()
