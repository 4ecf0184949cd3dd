"""Which methods are answered where: those of the routes, and HEAD wherever GET is."""

from http import HTTPMethod

from fastapi.staticfiles import StaticFiles
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

IS_HEAD = "is_head"
"""In the state of a HEAD request that is answered as GET: the body of its answer need not be read."""


def allowed_methods(scope: Scope) -> list[str]:
    """The methods of all routes at the path: the router itself names those of the first such route."""
    if isinstance(scope.get("endpoint"), StaticFiles):  # a mount has changed the scope, so that no route matches it
        return [HTTPMethod.GET, HTTPMethod.HEAD]
    found = {method for method in HTTPMethod if _is_routed(scope, method)}
    if HTTPMethod.GET in found:
        found.add(HTTPMethod.HEAD)
    return sorted(found)


class HeadAsGet:
    """Answers HEAD as GET, without the body (RFC 9110, section 9.3.2). FastAPI's routes do not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != HTTPMethod.HEAD or not _is_routed(scope, HTTPMethod.GET):
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        scope["state"][IS_HEAD] = True
        as_get = {**scope, "method": HTTPMethod.GET.value}
        try:
            await self.app(as_get, receive, send_without_body)
        finally:
            scope["endpoint"] = as_get.get("endpoint")  # outer middleware names the route by it


def _is_routed(scope: Scope, method: HTTPMethod) -> bool:
    as_asked = {**scope, "method": method.value}
    return any(route.matches(as_asked)[0] is Match.FULL for route in scope["app"].routes)
