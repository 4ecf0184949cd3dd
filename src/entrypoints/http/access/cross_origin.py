"""Pages of other origins, where the settings name some (CORS)."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.contract.problems import problem_response


class CrossOrigin(CORSMiddleware):
    """Lets the scripts of named origins call us with a key of their own.

    Never with the cookie of our page: credentials are not allowed, and neither is the header that makes it count.
    """

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
            allow_headers=("Authorization", "If-None-Match", "X-Request-ID", "X-Request-Deadline-Ms"),
            expose_headers=("ETag", "Location", "Retry-After", "X-Outcome", "X-Request-ID"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight request here; a refused one as a problem, like every error."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if scope.get("method") != "OPTIONS" or not {"origin", "access-control-request-method"} <= set(headers):
            await super().__call__(scope, receive, send)
            return
        answer = self.preflight_response(headers)
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            answer = problem_response(
                scope,
                HTTPStatus.FORBIDDEN,
                "cross_origin_refused",
                f"{bytes(answer.body).decode()}. LOOKALIKE_HTTP__CORS_ORIGINS names the origins that may call.",
                {"Vary": answer.headers["vary"]},
            )
        await answer(scope, receive, send)
