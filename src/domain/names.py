"""How a picture is called: its key, which is its identity; and its source, a note of where it came from."""

from unicodedata import category, normalize
from uuid import UUID, uuid5

from domain.errors import InvalidKeyError, InvalidSourceError, LookalikeError

KEY_NAMESPACE = UUID("0d6e6d3f-3a8e-5f5b-8f0a-1b0c7c2f9f7e")
"""The namespace of the ids of pictures with a key: fixed for ever, since ids are derived from it."""

MAX_BYTES = 2_048
"""Of a key, and of a source, as UTF-8."""


def id_of_key(key: str) -> UUID:
    """The id of the picture under a key: version 5 of the key in `KEY_NAMESPACE`."""
    return uuid5(KEY_NAMESPACE, key)


ImageName = UUID | str
"""What an image is asked for by: its id, or its key as text."""


def id_of(name: ImageName) -> UUID:
    """The id of an image by its id or its key."""
    return id_of_key(name) if isinstance(name, str) else name


def checked_key(text: str) -> str:
    """`text` as a key: in Unicode's normal form C. It is text and nothing else, so `..` and slashes mean nothing.

    Raises InvalidKeyError unless it has 1 to 2,048 bytes of UTF-8 and no control characters.
    """
    return _checked(text, "key", InvalidKeyError)


def checked_source(text: str) -> str:
    """`text` as a source: a path or an URL, in Unicode's normal form C.

    Raises InvalidSourceError unless it has 1 to 2,048 bytes of UTF-8 and no control characters.
    """
    return _checked(text, "source", InvalidSourceError)


def _checked(text: str, what: str, error: type[LookalikeError]) -> str:
    name = normalize("NFC", text)
    if not name:
        raise error(f"The {what} is empty. Give it 1 to {MAX_BYTES:,} bytes, or leave it out.")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise error(f"The {what} holds text that is not valid Unicode (a lone surrogate).") from None
    if size > MAX_BYTES:
        raise error(f"The {what} takes {size:,} bytes as UTF-8; at most {MAX_BYTES:,} are allowed.")
    if control := next((each for each in name if category(each) == "Cc"), None):
        raise error(f"The {what} holds the control character U+{ord(control):04X}. Percent-encode it, or leave it out.")
    return name


def words_of(text: str) -> list[str]:
    """The runs of letters, marks and digits in `text`, without regard to case, width or ligatures (NFKC, casefold)."""
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    return "".join(each if category(each)[0] in "LMN" else " " for each in folded).split()
