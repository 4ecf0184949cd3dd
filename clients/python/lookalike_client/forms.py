"""Forms with files, as multipart/form-data (RFC 7578)."""

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lookalike_client.pictures import SentFile

Field = str | int | float | bool | Iterable[str]


@dataclass(frozen=True, slots=True)
class Form:
    """A body in segments, so that no picture is copied."""

    content_type: str
    segments: Sequence[bytes]

    @property
    def length(self) -> int:
        """Bytes."""
        return sum(map(len, self.segments))

    @classmethod
    def of(cls, fields: Mapping[str, Field | None], name: str, files: Iterable[SentFile]) -> "Form":
        """Fields that are given, several of one name for an iterable, then files under `name`."""
        boundary = os.urandom(16).hex()
        start = f"--{boundary}\r\nContent-Disposition: form-data; name="
        segments = [
            f'{start}"{field}"\r\n\r\n{text}\r\n'.encode(errors="replace")
            for field, value in fields.items()
            if value is not None
            for text in _texts(value)
        ]
        for file in files:
            head = (
                f'{start}"{name}"; filename={_quoted(file.filename)}\r\nContent-Type: application/octet-stream\r\n\r\n'
            )
            segments += (head.encode(errors="replace"), file.content, b"\r\n")
        return cls(f"multipart/form-data; boundary={boundary}", [*segments, f"--{boundary}--\r\n".encode()])


def _texts(value: Field) -> Iterable[str]:
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(value)] if isinstance(value, str | int | float) else value


def _quoted(name: str) -> str:
    """A name that arrives as it is, but for control characters, which no stored name has either.

    HTML's escapes would not do: they leave a quotation mark and a literal %22 the same.
    """
    printable = "".join(character for character in name if unicodedata.category(character) != "Cc")
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
