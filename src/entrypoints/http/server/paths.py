"""The path under which a proxy serves us, and paths as the routes know them: without it."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def own_path(scope: Scope) -> str:
    """The path below the root path, such as `/v1/images`."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def is_health(scope: Scope) -> bool:
    """Whether this asks how the service is: always open, never counted, answered to the end."""
    return own_path(scope).startswith("/health/")


class RootPath:
    """Tells the application under which path a proxy serves it, whether or not the proxy leaves that in the path.

    FastAPI's own `root_path` is deprecated, and uvicorn's knows only proxies that take it away.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == self._root_path:  # the addresses in the page are relative: they need the slash
                query: str = scope["query_string"].decode("latin-1")
                await RedirectResponse(f"{path}/?{query}" if query else f"{path}/")(scope, receive, send)
                return
            whole = path if path.startswith(f"{self._root_path}/") else self._root_path + path
            # As ASGI wants it; and in place, for those further out, who tell of the request.
            scope.update(root_path=self._root_path, path=whole)
        await self.app(scope, receive, send)
