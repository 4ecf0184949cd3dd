import io

import pytest
from fastapi import UploadFile
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import BodyTooLargeError
from entrypoints.http.uploads import MAX_FILENAME, clean_filename, read_picture, upload_of


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("hat.jpg", "hat.jpg"),
        ("a/b/hat.jpg", "hat.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\hat.jpg", "hat.jpg"),
        ("..\\..\\hat.jpg", "hat.jpg"),
        ("Größe 大 🧥.png", "Größe 大 🧥.png"),
        ("hat\x00.jpg\n", "hat.jpg"),
        ("\u202ehat.jpg", "hat.jpg"),
        ("  hat.jpg  ", "hat.jpg"),
        ("n" * 300, "n" * MAX_FILENAME),
        (None, "unnamed"),
        ("", "unnamed"),
        ("/", "unnamed"),
        ("\x00", "unnamed"),
    ],
)
def test_only_the_name_is_kept(sent: str | None, kept: str) -> None:
    assert clean_filename(sent) == kept


@settings(deadline=None)
@given(st.text())
def test_any_name_can_be_stored_and_shown(sent: str) -> None:
    kept = clean_filename(sent)
    assert 0 < len(kept) <= MAX_FILENAME
    assert not set(kept) & set("/\\\x00\r\n")
    kept.encode()


def a_file(content: bytes, *, size: int | None) -> UploadFile:
    return UploadFile(io.BytesIO(content), filename="a/hat.png", size=size)


async def test_a_picture_is_read_when_its_turn_comes() -> None:
    file = a_file(b"hat", size=3)
    upload = upload_of(file, {"brand": "acme"}, 3)
    assert (upload.filename, upload.metadata) == ("hat.png", {"brand": "acme"})
    assert await upload.read() == b"hat"


async def test_a_picture_too_large_is_not_read() -> None:
    with pytest.raises(BodyTooLargeError, match="4 bytes; at most 3"):
        await read_picture(a_file(b"hats", size=4), 3)
