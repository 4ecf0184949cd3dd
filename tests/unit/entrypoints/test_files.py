"""Pictures on their way out."""

import re
from urllib.parse import unquote

import pytest

from entrypoints.http.files import content_disposition, file_response


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
    response = file_response(b"picture", media_type, '"a"', filename="a.jpg")
    assert response.headers["content-type"] == media_type
    assert response.headers["content-disposition"].startswith("inline")
    assert "sandbox" in response.headers["content-security-policy"]
    assert "script" not in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "media_type", ["image/svg+xml", "text/html", "application/pdf", "IMAGE/JPEG", "image/jpeg; a=b"]
)
def test_whatever_an_index_calls_it_nothing_else_is_shown(media_type: str) -> None:
    response = file_response(b"<svg onload=alert(1)>", media_type, '"a"', filename="a.svg")
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")
