"""What an image is asked for by."""

import os
import re
import unicodedata
from typing import NamedTuple
from unicodedata import normalize
from urllib.parse import quote
from uuid import UUID, uuid5

CONTENT_NAMESPACE = UUID("6f0b3a52-5d0e-5f0c-9c55-7d0f2f6f5a11")
KEY_NAMESPACE = UUID("0d6e6d3f-3a8e-5f5b-8f0a-1b0c7c2f9f7e")


class Key(str):
    """An image's key, in the place of its id: `client.get(Key("sku-17/front"))`."""

    __slots__ = ()


Name = UUID | str
"""An id, or a `Key`. Other text is an id's."""


class Renaming(NamedTuple):
    """An image's key, and the one that it is to have; its new source and filename too, where its file has moved."""

    before: str
    after: str
    source: str | None = None
    filename: str | None = None


def id_of(name: Name) -> UUID:
    """The id that follows from a key, or that the text is. Raises ValueError for other text."""
    if isinstance(name, Key):
        return uuid5(KEY_NAMESPACE, normalize("NFC", name))
    try:
        return UUID(str(name))
    except ValueError:
        raise ValueError(f"{name!r} is no id. To name an image by its key, write Key({str(name)!r}).") from None


def id_of_content(sha256: str) -> UUID:
    """The id of the image without a key that has these bytes, by their SHA-256 in hexadecimal digits."""
    return uuid5(CONTENT_NAMESPACE, sha256)


def text_of_path(path: str | os.PathLike[str]) -> str:
    """A path as text that keys and sources can hold: control characters, bytes that are no text, and % encoded."""
    if (text := os.fspath(path)).isprintable() and "%" not in text:
        return text
    return "".join(
        character
        if unicodedata.category(character) not in {"Cc", "Cs"} and character != "%"
        else quote(os.fsencode(character))
        for character in text
    )


def text_of_url(url: str) -> str:
    """An URL as a source: without its credentials, and without its fragment, which is never sent."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url.partition("#")[0], count=1)


def as_json(name: Name) -> str | dict[str, str]:
    """A name in a request's body."""
    return {"key": str(name)} if isinstance(name, Key) else str(name)
