"""What every answer tells browsers: guess no types, run nothing in it, frame it nowhere, tell nobody its address."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DATA_ONLY = "default-src 'none'; frame-ancestors 'none'"
"""The policy of answers that are no pages; pages and files bring their own."""

FILES = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""For what callers have uploaded: should a browser ever take it for a document, it runs nothing and belongs to nobody.
The style is that of browsers' own picture viewers."""


class SecurityHeaders:
    """Adds to every answer what its route has not set otherwise."""

    def __init__(self, app: ASGIApp, *, hsts_seconds: int, embeddable: bool) -> None:
        """`embeddable`: pages of other origins may show our pictures (`<img>`)."""
        self.app = app
        self._hsts_seconds = hsts_seconds
        self._headers = {
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": DATA_ONLY,
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "cross-origin" if embeddable else "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if self._hsts_seconds and scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", f"max-age={self._hsts_seconds}")
            await send(message)

        await self.app(scope, receive, send_with_headers)
