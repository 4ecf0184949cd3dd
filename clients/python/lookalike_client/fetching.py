"""Pictures from the web, by HTTP and HTTPS, from public addresses alone.

An URL must not lead to what only this machine can reach. So every address of a name is checked, at each redirect anew,
and the connection goes to an address that was checked: no second look-up can give another. The name stays in the Host
header and in TLS. Nothing is sent but the request: no cookies, no credentials (an URL with some
is refused), no referrer; and neither proxies nor netrc files of the environment are used.
"""

import asyncio
import re
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from weakref import WeakValueDictionary

import httpcore
import httpx

from lookalike_client.checked_addresses import CheckedAddresses, NoNameError, NotPublicError, Resolver, SystemNames
from lookalike_client.errors import LookalikeError
from lookalike_client.public_addresses import allowed_host, checked_host
from lookalike_client.retries import TRY_AGAIN, asked_pause

KEEP_ALIVE_SECONDS = 2.0
"""Shorter than servers keep an idle connection: a request on one that is just being closed would fail."""

_PORTS = {"http": 80, "https": 443}
_PLAIN = frozenset({"", "identity"})
_ZLIB = frozenset({"gzip", "x-gzip", "deflate"})
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which another try is worth while."""


class FetchError(LookalikeError):
    """A picture was not fetched. The message names the URL without its credentials and its query.

    `retryable`: whether another try may succeed.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        """What went wrong."""
        super().__init__(message)
        self.retryable = retryable


class FetchRefusedError(FetchError):
    """The URL is none that is fetched: by its scheme, its spelling, or an address that is not public."""


class FetchFailedError(FetchError):
    """The far side did not answer with a picture: by its status, TLS, name, time or size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Where pictures may come from, and what one may take."""

    allowed_hosts: frozenset[str] = frozenset()
    """`host` or `host:port`: their addresses need not be public."""
    timeout_seconds: float = 30.0
    """From the first request to the last byte, redirects included. Waiting for a turn does not count."""
    first_byte_seconds: float = 10.0
    """For each request, until the answer begins."""
    max_redirects: int = 5
    user_agent: str = "lookalike-client (fetches pictures for visual search)"
    max_bytes: int = 25 * 1024 * 1024
    """Of a picture, both as it comes and decompressed."""
    at_once: int = 16
    per_host: int = 4
    """Requests under way at once: altogether, and to one host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A picture's bytes, and what the far side says of them: the two names of this version are for the next time."""

    content: bytes
    etag: str | None
    last_modified: str | None
    filename: str | None
    """The last part of the URL's path."""


class PictureFetcher:
    """Fetches pictures. To be opened and closed on one event loop, as an asynchronous context manager."""

    def __init__(
        self,
        limits: FetchLimits | None = None,
        *,
        verify: ssl.SSLContext | None = None,
        resolve: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """Nothing is looked up yet.

        Args:
            limits: Those of FetchLimits, unless given.
            verify: Which certificates are trusted, if not those that httpx trusts (SSL_CERT_FILE replaces them).
            resolve: Another way to look up names, for tests.
            network: Another way to connect to an address that was checked, for tests.

        Raises ValueError for an allowed host that is none.
        """
        self._limits = limits or FetchLimits()
        self._names = SystemNames(threads=self._limits.at_once)
        checked = CheckedAddresses(
            resolve or self._names.resolve,
            allowed=frozenset(map(allowed_host, self._limits.allowed_hosts)),
            network=network or httpcore.AnyIOBackend(),
        )
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify or httpx.create_ssl_context(),
            max_connections=None,  # turns bound them
            max_keepalive_connections=self._limits.at_once,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=checked,
        )
        self._all_turns = asyncio.Semaphore(self._limits.at_once)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def __aenter__(self) -> "PictureFetcher":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()
        self._names.close()

    async def fetch(self, url: str, *, etag: str | None = None, last_modified: str | None = None) -> Fetched | None:
        """The picture at `url`; None where the far side says that it is still the one of `etag` or `last_modified`.

        Where the far side is busy and says for how long (429 or 503 with `Retry-After`), it is asked once more, after
        that pause, if the time allows. Raises FetchRefusedError, FetchFailedError.
        """
        first = target = _checked_url(url)
        conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        given = {name: value for name, value in conditions.items() if value}
        left, redirects, has_paused = self._limits.timeout_seconds, 0, False
        while True:
            async with self._turn(target.raw_host), self._all_turns:
                began = time.monotonic()
                status, headers, content = await self._ask(target, given, left)
                left -= time.monotonic() - began
            pause = asked_pause(headers)
            if status == HTTPStatus.OK:
                return Fetched(
                    content=content,
                    etag=headers.get("ETag"),
                    last_modified=headers.get("Last-Modified"),
                    filename=first.path.rpartition("/")[2] or None,
                )
            if status == HTTPStatus.NOT_MODIFIED and given:
                return None
            if status in {301, 302, 303, 307, 308} and "Location" in headers:
                redirects += 1
                if redirects > self._limits.max_redirects:
                    raise FetchFailedError(f"{shown(url)} redirects more than {self._limits.max_redirects} times.")
                target = _checked_url(headers["Location"], base=target)
            elif status in TRY_AGAIN and not has_paused and 0 < pause < left:
                has_paused = True
                await asyncio.sleep(pause)
                left -= pause
            else:
                phrase = httpx.codes.get_reason_phrase(status)
                raise FetchFailedError(
                    f"{shown(target)} answered {status} {phrase}".rstrip() + ".", retryable=status in _MAY_PASS
                )

    def _turn(self, host: bytes) -> asyncio.Semaphore:
        """What bounds the requests to a host. It is forgotten once no request waits for it or holds it."""
        return self._turns.setdefault(host.decode("ascii"), asyncio.Semaphore(self._limits.per_host))

    async def _ask(
        self, url: httpx.URL, conditions: Mapping[str, str], seconds: float
    ) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and, if it is 200, the body of one answer."""
        request = httpcore.Request(
            "GET",
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[
                (b"Host", url.netloc),
                (b"User-Agent", self._limits.user_agent.encode("latin-1", "replace")),
                (b"Accept", b"image/*, */*;q=0.5"),
                (b"Accept-Encoding", b"identity"),
                *((name.encode(), value.encode("latin-1", "replace")) for name, value in conditions.items()),
            ],
            extensions={"timeout": {"connect": self._limits.first_byte_seconds}},
        )
        with _as_fetch_errors(url):
            async with asyncio.timeout(seconds):
                async with asyncio.timeout(self._limits.first_byte_seconds):
                    response = await self._pool.handle_async_request(request)
                try:
                    headers = httpx.Headers(response.headers)
                    content = await self._read(response, headers, url) if response.status == HTTPStatus.OK else b""
                finally:
                    await response.aclose()
        return response.status, headers, content

    async def _read(self, response: httpcore.Response, headers: httpx.Headers, url: httpx.URL) -> bytes:
        most = self._limits.max_bytes
        too_large = FetchFailedError(f"{shown(url)} has more than the {most:,} bytes that a picture may have.")
        coding = headers.get("Content-Encoding", "").strip().lower()
        if coding not in _PLAIN | _ZLIB:
            raise FetchFailedError(f"{shown(url)} answered in the encoding {coding:.40}, which was not asked for.")
        declared = headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > most:
            raise too_large
        content = bytearray()
        async for chunk in response.aiter_stream():
            content += chunk
            if len(content) > most:
                raise too_large
        if coding in _PLAIN:
            return bytes(content)
        try:
            plain = await asyncio.to_thread(_decompressed, bytes(content), most)
        except zlib.error as error:
            raise FetchFailedError(f"{shown(url)} answered in a broken encoding ({coding}).") from error
        if len(plain) > most:
            raise too_large
        return plain


def shown(url: httpx.URL | str) -> str:
    """An URL for messages: without credentials and query. Of a text, whatever may belong to these is cut.

    What would steer a terminal is replaced.
    """
    if isinstance(url, httpx.URL):
        return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii').partition('?')[0]}"
    printable = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in url)
    return re.split(r"[?#]", re.sub(r"^([A-Za-z]+://)?.*@", r"\1", printable), maxsplit=1)[0][:200]


def _checked_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """An absolute URL that may be asked for, its host in one spelling. Raises FetchRefusedError."""
    text = text.strip()
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        if url.scheme not in _PORTS:
            raise ValueError("it must begin with http:// or https://")
        if url.userinfo:
            raise ValueError("credentials in an URL are not sent: leave them out")
        if url.port is not None and not 0 < url.port < 65536:
            raise ValueError(f"there is no port {url.port}")
        return url.copy_with(host=checked_host(url.raw_host.decode("ascii")), fragment=None)
    except (httpx.InvalidURL, UnicodeError):  # whose messages repeat parts of it
        raise FetchRefusedError(f"{shown(text)} is not fetched: it is no URL.") from None
    except ValueError as error:
        raise FetchRefusedError(f"{shown(text)} is not fetched: {error}.") from error


@contextmanager
def _as_fetch_errors(url: httpx.URL) -> Iterator[None]:
    """What may go wrong in a request for `url`, as FetchErrors."""
    try:
        yield
    except NotPublicError as error:
        raise FetchRefusedError(f"{shown(url)} is not fetched: {error}.") from error
    except NoNameError as error:
        raise FetchFailedError(f"{shown(url)} was not read: {error}.", retryable=error.may_pass) from error
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise FetchFailedError(f"{shown(url)} did not answer in time.", retryable=True) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
        if failure := _tls_failure(error):
            raise FetchFailedError(f"{shown(url)}: no TLS connection ({failure}).") from error
        reason = str(error)[:200] or "the connection failed"
        raise FetchFailedError(f"{shown(url)} was not read: {reason}.", retryable=True) from error


def _tls_failure(error: BaseException | None) -> str:
    """Why TLS failed, if it did."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        if isinstance(error, ssl.SSLError):
            return (error.reason or "broken").replace("_", " ").lower()
        error = error.__cause__ or error.__context__
    return ""


def _decompressed(content: bytes, most: int) -> bytes:
    """All of it, or one byte more than `most`. Raises zlib.error."""
    unfolder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as its head says
    plain = unfolder.decompress(content, most + 1)
    if len(plain) <= most and not unfolder.eof:
        raise zlib.error("it ends early")
    return plain
