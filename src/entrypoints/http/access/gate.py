"""The gate that every request passes: who calls, and whether they have called too often.

What a caller may do is for the routes to say (`auth.py`): they know which role they need.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.access.key_ring import KeyRing
from entrypoints.http.access.rate_limits import RateLimit, caller_at
from entrypoints.http.contract.problems import ProblemResponse, problem
from entrypoints.http.server.paths import is_health
from entrypoints.keys import ApiKey, digest_of
from entrypoints.settings import LimitSettings

COOKIE = "lookalike_session"
PAGE_HEADER = "X-Lookalike-Page"
"""The page sends it with whatever changes something. Another site cannot: browsers ask us first, and we never agree.
A cookie alone therefore changes nothing, not even from another port of the same host, which counts as the same site."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TooOften:
    """Why a request is refused, and for how many seconds."""

    what: str
    seconds: int


class Gate:
    """Recognises the caller, for `caller_of`; refuses other sites' pages, and who comes too often. Not for health."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing, limits: LimitSettings, origins: Sequence[str]) -> None:
        """`origins`: those whose pages may call (CORS)."""
        self.app = app
        self._keys = keys
        self._origins = origins
        self._per_key = RateLimit(limits.per_key)
        self._per_address = RateLimit(limits.per_address)
        self._wrong_keys = RateLimit(limits.wrong_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or not."""
        if scope["type"] != "http" or is_health(scope):
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        place = {"instance": scope["path"], "request_id": scope["state"]["request_id"]}
        if self._is_sent_by_another_site(request):
            detail = "A page of another origin sent this. LOOKALIKE_HTTP__CORS_ORIGINS names those that may."
            answer = ProblemResponse(problem(HTTPStatus.FORBIDDEN, "cross_origin_refused", detail, **place))
            await answer(scope, receive, send)
        elif refused := self._refusal(request):
            detail = f"{refused.what} Send it again in {refused.seconds} s."
            found = problem(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail, **place)
            await ProblemResponse(found, {"Retry-After": str(refused.seconds)})(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_sent_by_another_site(self, request: HTTPConnection) -> bool:
        """Whether some page that a visitor looks at makes the browser change something here, or work for it.

        Forms may be sent anywhere without asking first, and where no keys are configured nothing else would stop them.
        Browsers tell by headers that pages cannot set; programs send none. They say Sec-Fetch-Site to TLS and to their
        own machine alone; elsewhere the origin has to be the one that was called.
        """
        if request.scope["method"] in SAFE_METHODS or "*" in self._origins:
            return False
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if origin in self._origins:
            return False
        if site is not None:
            return site not in {"same-origin", "none"}
        host = request.headers.get("host", "").lower()
        return origin is not None and origin.lower() not in {f"http://{host}", f"https://{host}"}

    def _refusal(self, request: HTTPConnection) -> TooOften | None:
        address = caller_at(request.client.host if request.client else None)
        if seconds := self._per_address.count(address):
            return TooOften("Too many requests came from this address.", seconds)
        key = None
        if (given := _key_in_header(request)) is not None:
            # Whatever key it shows: an answer that told the right one from others would go on answering guesses.
            if seconds := self._wrong_keys.used_up(address):
                return TooOften("Too many keys came from this address that are none of this service.", seconds)
            key = self._keys.find(given)
            if key is None and not self._keys.is_empty:
                # A program that goes on with a key of yesterday guesses nothing: it is counted once.
                self._wrong_keys.count_once(address, digest_of(given).hex())
                if seconds := self._wrong_keys.used_up(address):
                    log.warning(
                        "Too many wrong keys came from %s: no key from there is taken for %d s", address, seconds
                    )
        elif _cookie_counts(request) and (token := request.cookies.get(COOKIE)):
            key = self._keys.find_by_token(token)
        request.scope["state"]["key"] = key
        if key is not None and (seconds := self._per_key.count(key.digest.hex())):
            return TooOften("Too many requests came with this key.", seconds)
        return None


def caller_of(request: HTTPConnection) -> ApiKey | None:
    """The key that the caller has shown, by itself or by the page's cookie; None without one of ours."""
    found: ApiKey | None = request.scope["state"]["key"]
    return found


def _key_in_header(request: HTTPConnection) -> bytes | None:
    scheme, key = get_authorization_scheme_param(request.headers.get("authorization"))
    return key.encode("latin-1") if scheme.lower() == "bearer" and key else None


def _cookie_counts(request: HTTPConnection) -> bool:
    return request.scope["method"] in SAFE_METHODS or PAGE_HEADER in request.headers
