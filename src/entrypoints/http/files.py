"""Pictures on their way out: kept by browsers, and inert, whatever somebody has hidden in them."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

from fastapi import Response

from entrypoints.http.security_headers import FILES
from entrypoints.http.uploads import clean_filename

_PICTURES = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/gif",
        "image/bmp",
        "image/tiff",
        "image/avif",
        "image/heic",
    }
)
"""The accepted formats. An index that others write to, or a backup that others made, may name any type."""

_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"
"""What RFC 8187 leaves as it is, besides letters and digits."""


def file_response(content: bytes, media_type: str, etag: str, *, filename: str | None = None) -> Response:
    """The answer with a picture. What is none is sent as bytes to be saved."""
    shown = media_type in _PICTURES
    headers = dict(_headers(etag))
    if filename is not None:
        headers["Content-Disposition"] = content_disposition("inline" if shown else "attachment", filename)
    return Response(content, media_type=media_type if shown else "application/octet-stream", headers=headers)


def not_modified(etag: str) -> Response:
    """The answer to a caller whose copy is current."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(etag))


def content_disposition(kind: str, filename: str) -> str:
    """The header of RFC 6266: a plain name for old programs, and where that is not the name, the name (RFC 8187)."""
    name = clean_filename(filename)
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in name)
    header = f'{kind}; filename="{plain}"'
    if plain != name:
        encoded = quote(name, safe=_ATTRIBUTE_CHARACTERS)
        header += f"; filename*=UTF-8''{encoded}"
    return header


def _headers(etag: str) -> Mapping[str, str]:
    return {"ETag": etag, "Cache-Control": "private, max-age=3600", "Content-Security-Policy": FILES}
