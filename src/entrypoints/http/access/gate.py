"""The gate before all routes: recognises the caller, and refuses one that calls too often.

Which role an operation needs is said at its route (`roles.py`).
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.access.key_ring import KeyRing
from entrypoints.http.access.rate_limits import RateLimit, caller_at
from entrypoints.http.contract.problems import problem_response
from entrypoints.http.server.paths import is_health
from entrypoints.keys import ApiKey, Role, digest_of
from entrypoints.settings import LimitSettings

COOKIE = "lookalike_session"
PAGE_HEADER = "X-Lookalike-Page"
"""The page sends it with each request that changes something. Other sites cannot: browsers ask us first, and we refuse.
So a cookie alone changes nothing, not even from another port of the same host, which counts as the same site."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

log = logging.getLogger(__name__)


class Gate:
    """Recognises the caller, for `caller_of`; refuses other sites' pages and too many requests. Health passes."""

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
        answer: ASGIApp = self.app
        if self._is_sent_by_another_site(request):
            detail = "A page of another origin sent this. LOOKALIKE_HTTP__CORS_ORIGINS names those that may."
            answer = problem_response(scope, HTTPStatus.FORBIDDEN, "cross_origin_refused", detail)
        elif refused := self._refusal(request):
            reason, seconds = refused
            detail = f"{reason} Send it again in {seconds} s."
            wait = {"Retry-After": str(seconds)}
            answer = problem_response(scope, HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail, wait)
        await answer(scope, receive, send)

    def _is_sent_by_another_site(self, request: HTTPConnection) -> bool:
        """Whether the page of another site makes a browser change something here, or work for it.

        Browsers send forms anywhere without asking first, and where no keys are configured nothing else would stop
        them. They name the page's site in headers that pages cannot set; programs send none. Sec-Fetch-Site comes with
        TLS and to the browser's own machine alone; elsewhere the origin has to be the host that was called.
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

    def _refusal(self, request: HTTPConnection) -> tuple[str, int] | None:
        """Why the request is refused, and for how many seconds."""
        address = caller_at(request.client.host if request.client else None)
        if seconds := self._per_address.count(address):
            return ("Too many requests came from this address.", seconds)
        key = None
        if (given := _key_in_header(request)) is not None:
            # After too many wrong keys, refuse every key from this address. Otherwise an attacker could go on guessing.
            if seconds := self._wrong_keys.used_up(address):
                return ("Too many wrong keys came from this address.", seconds)
            key = self._keys.find(given)
            if key is None and not self._keys.is_empty:
                # Count the same wrong key once: a program with an old key does not guess.
                self._wrong_keys.count_once(address, digest_of(given).hex())
                if seconds := self._wrong_keys.used_up(address):
                    log.warning(
                        "Too many wrong keys came from %s: no key from there is taken for %d s", address, seconds
                    )
        elif _cookie_counts(request) and (token := request.cookies.get(COOKIE)):
            key = self._keys.find_by_token(token)
        request.scope["state"]["key"] = key
        if key is not None and (seconds := self._per_key.count(_caller_with(key, address))):
            return ("Too many requests came with this key.", seconds)
        return None


def caller_of(request: HTTPConnection) -> ApiKey | None:
    """The key that the caller has shown, by itself or by the page's cookie; None without one of ours."""
    found: ApiKey | None = request.scope["state"]["key"]
    return found


def _caller_with(key: ApiKey, address: str) -> str:
    """By what requests with a key are counted. All visitors of a shop's page share its key, so also by address."""
    return f"{key.digest.hex()} {address}" if key.role is Role.SEARCH else key.digest.hex()


def _key_in_header(request: HTTPConnection) -> bytes | None:
    scheme, key = get_authorization_scheme_param(request.headers.get("authorization"))
    return key.encode("latin-1") if scheme.lower() == "bearer" and key else None


def _cookie_counts(request: HTTPConnection) -> bool:
    return request.scope["method"] in SAFE_METHODS or PAGE_HEADER in request.headers
