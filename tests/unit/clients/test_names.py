"""Names as the client makes them, against what the service takes."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import images, names
from domain.errors import InvalidKeyError
from lookalike_client import Key
from lookalike_client.names import id_of, id_of_content, text_of_path, text_of_url


@given(st.text(max_size=40))
def test_ids_are_those_of_the_service(text: str) -> None:
    try:
        key = names.checked_key(text)
    except InvalidKeyError:
        return
    assert id_of(Key(text)) == names.id_of_key(key)


@given(st.binary(max_size=40))
def test_ids_of_contents_are_those_of_the_service(content: bytes) -> None:
    sha256 = images.sha256_of(content)
    assert id_of_content(sha256) == images.id_of_content(sha256)


@given(st.binary(min_size=1, max_size=60).filter(lambda name: not {0, ord("/")} & set(name)))
def test_any_file_has_a_key(name: bytes) -> None:
    text = text_of_path(os.fsdecode(name))
    assert names.checked_key(text)


@given(*[st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name)] * 2)
def test_files_of_other_names_have_other_texts(name: bytes, other: bytes) -> None:
    texts = {text_of_path(os.fsdecode(each)) for each in (name, other)}
    assert len(texts) == len({name, other})


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://shop.example/hat.jpg?size=2", "https://shop.example/hat.jpg?size=2"),
        ("https://me:secret@shop.example/a@b.jpg#top", "https://shop.example/a@b.jpg"),
        ("https://shop.example?to=me@home", "https://shop.example?to=me@home"),
    ],
)
def test_an_url_as_a_source(url: str, source: str) -> None:
    assert text_of_url(url) == source
