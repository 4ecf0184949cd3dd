"""Pictures on their way out: browsers may keep them, and run nothing that is hidden in them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.ports.image_store import OpenedOriginal
from domain.ports.thumbnail_renderer import THUMBNAIL_MEDIA_TYPE
from entrypoints.http.routes.caching import KEEP
from entrypoints.http.routes.uploads import clean_filename
from entrypoints.http.server.methods import IS_HEAD
from entrypoints.http.server.security_headers import FILES

_PICTURES = frozenset(f"image/{name}" for name in ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heic"))
"""The accepted formats. An index that others write to, or a backup that others made, may name any type."""

_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"
"""What RFC 8187 leaves as it is, besides letters and digits."""


PIECE_BYTES = 256 * 1024
"""Bytes of an original that are read at once. About twice as much is in memory for each caller, however slow."""


class OriginalResponse(StreamingResponse):
    """The answer with an original, in pieces as the caller reads them. What is no picture is sent as an attachment."""

    def __init__(
        self, original: AbstractAsyncContextManager[OpenedOriginal], media_type: str, etag: str, *, filename: str
    ) -> None:
        shown = media_type in _PICTURES
        disposition = content_disposition("inline" if shown else "attachment", filename)
        super().__init__(
            (),
            media_type=media_type if shown else "application/octet-stream",
            headers={**_headers(etag), "Content-Disposition": disposition},
        )
        self._original = original

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Raises what opening the original raises, before anything is sent."""
        async with self._original as original:
            self.headers["Content-Length"] = str(original.size)
            self.body_iterator = _nothing() if scope.get("state", {}).get(IS_HEAD) else _pieces(original)
            await super().__call__(scope, receive, send)


def thumbnail_response(content: bytes, etag: str, keeping: Mapping[str, str]) -> Response:
    """The answer with a thumbnail, which is small. `keeping`: the headers that tell caches about it."""
    return Response(content, media_type=THUMBNAIL_MEDIA_TYPE, headers=_headers(etag, keeping))


def not_modified(etag: str, keeping: Mapping[str, str] = KEEP) -> Response:
    """The answer to a caller whose copy is current."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_headers(etag, keeping))


def content_disposition(kind: str, filename: str) -> str:
    """The header of RFC 6266: a plain name for old programs, and where that is not the name, the name (RFC 8187)."""
    name = clean_filename(filename)
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in name)
    header = f'{kind}; filename="{plain}"'
    if plain != name:
        encoded = quote(name, safe=_ATTRIBUTE_CHARACTERS)
        header += f"; filename*=UTF-8''{encoded}"
    return header


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


async def _pieces(original: OpenedOriginal) -> AsyncIterator[bytes]:
    while piece := await original.read(PIECE_BYTES):
        yield piece


def _headers(etag: str, keeping: Mapping[str, str] = KEEP) -> Mapping[str, str]:
    return {"ETag": etag, "Content-Security-Policy": FILES, **keeping}
