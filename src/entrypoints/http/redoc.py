"""ReDoc without its one outside host."""

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html
from fastapi.responses import HTMLResponse

from entrypoints.http.dependencies import Root

ASSETS = "/static-offline-docs"
"""Where fastapi-offline serves ReDoc's script."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "worker-src blob:"
)
HIDE_LOGO = '<style>img[src*="/redoc/logo"]{display:none}</style>'


def serve_redoc(app: FastAPI) -> None:
    """Answer `/redoc`. Its script asks a CDN for its maker's logo: the policy forbids that, the style hides the gap."""

    @app.get("/redoc", include_in_schema=False)
    async def redoc(root: Root) -> HTMLResponse:
        page = get_redoc_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title} - ReDoc",
            redoc_js_url=f"{root}{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
        body = bytes(page.body).decode().replace("</head>", f"{HIDE_LOGO}</head>")
        return HTMLResponse(body, headers={"Content-Security-Policy": POLICY})
