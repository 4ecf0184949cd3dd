"""The OpenAPI document and the pages that show it, complete without any outside host; open to all, or to admins."""

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from entrypoints.http.access.roles import require_docs_access
from entrypoints.http.routes.dependencies import ProxyRoot

DOCUMENT = "/openapi.json"
ASSETS = "/static-offline-docs"
"""Where the pages' scripts and styles are, which come from fastapi-offline."""

_ASSETS_FOLDER = Path(str(files("fastapi_offline"))) / "static"
_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:{images}; "
    "connect-src 'self'; font-src 'self' data:; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Both pages write styles into the document, and ReDoc searches in a worker that it makes of text."""

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

_HIDE_LOGO = '<style>img[src*="/redoc/logo"]{display:none}</style>'
"""ReDoc asks a CDN for its maker's logo: the policy forbids that, this hides the gap."""


def serve_documentation(app: FastAPI) -> None:
    """Answer `/docs`, `/redoc` and `/openapi.json`."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(require_docs_access)])

    @router.get(DOCUMENT)
    async def document(root: ProxyRoot) -> JSONResponse:
        found = app.openapi()
        return JSONResponse({**found, "servers": [{**found["servers"][0], "url": root or "/"}]})

    @router.get("/docs")
    async def swagger_ui(root: ProxyRoot) -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url=f"{root}{DOCUMENT}",
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
        )
        # The previews of uploads and answers are blobs.
        return _page(bytes(page.body).decode(), images=" blob:")

    @router.get("/redoc")
    async def redoc(root: ProxyRoot) -> HTMLResponse:
        page = get_redoc_html(
            openapi_url=f"{root}{DOCUMENT}",
            title=f"{app.title} - ReDoc",
            redoc_js_url=f"{root}{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
        return _page(bytes(page.body).decode().replace("</head>", f"{_HIDE_LOGO}</head>"))

    app.include_router(router)
    app.mount(ASSETS, StaticFiles(directory=_ASSETS_FOLDER), name="documentation-assets")


def _page(body: str, *, images: str = "") -> HTMLResponse:
    """A page whose policy lets run its own inline scripts, by their digest, and no others."""
    digests = [hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(body)]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return HTMLResponse(body, headers={"Content-Security-Policy": _POLICY.format(scripts=scripts, images=images)})
