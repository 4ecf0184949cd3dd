"""Serves the web page: read once, compressed once, cached by browsers until its content changes."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response

from entrypoints.http.routes.caching import is_current

STATIC = Path(__file__).with_name("static")
PLACEHOLDER = b"{assets}"
"""Where the page names the folder of its assets: their digest is in it, so that browsers may keep them for ever."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}
FOR_EVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"

_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
"""As browsers want them: `mimetypes` alone would ask the machine, which may say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file of the page."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, name: str) -> "Asset":
        """A file's content under its name."""
        suffix = Path(name).suffix
        return cls(
            content=content,
            compressed=gzip.compress(content, mtime=0),
            media_type=_MEDIA_TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream"),
            etag=f'"{hashlib.sha256(content).hexdigest()[:20]}"',
        )

    def answer(self, request: Request, caching: str) -> Response:
        """The file, compressed for whom it suits; or that the caller's copy is current."""
        headers = {**HEADERS, "ETag": self.etag, "Cache-Control": caching}
        if is_current(request, self.etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.compressed, media_type=self.media_type, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def serve_page(app: FastAPI) -> None:
    """Answer `/` and what the page loads. Addresses in it are relative: it works below any root path."""
    files = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in sorted(STATIC.rglob("*.*"))}
    digest = hashlib.sha256(b"".join(name.encode() + content for name, content in files.items())).hexdigest()[:12]
    folder = f"assets/{digest}"
    home = Asset.of(files.pop("index.html").replace(PLACEHOLDER, folder.encode()), "index.html")
    assets = {name: Asset.of(content, name) for name, content in files.items()}

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return home.answer(request, ASK_FIRST)

    @app.get(f"/{folder}/{{name:path}}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        if name not in assets:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return assets[name].answer(request, FOR_EVER)
