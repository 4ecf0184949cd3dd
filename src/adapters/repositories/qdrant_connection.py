"""A connection to a Qdrant server: its client, repeated attempts, and one bound on the time that they take."""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient
from qdrant_client.common.version_check import is_compatible
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from adapters.repositories.qdrant_errors import FaultKind, QdrantFault, fault_of
from adapters.repositories.qdrant_signs_of_life import SignsOfLife
from domain.callers import is_bulk, raise_if_over, seconds_left
from domain.errors import ConfigurationError, DeadlinePassedError, LookalikeError, RepositoryUnavailableError

R = TypeVar("R")

LOCAL = ":memory:"
"""The url of the client's local mode: no server, nothing kept. For unit tests only."""

OLDEST_SERVER = (1, 16)
"""Collections have metadata since then."""

OPENING_SECONDS = 2.0
"""How long a server may take to say its first word: whoever starts something should soon hear that it is away."""

_BACKOFF = wait_random_exponential(multiplier=0.1, max=2.0)
"""Seconds, growing and random, so that replicas that lost the same server do not come back in step."""

_log = logging.getLogger(__name__)


class QdrantConnection:
    """One client, shared by the repositories that `acquire` it and closed by the last that releases it."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str | None,
        timeout: float,
        grpc_port: int,
        prefer_grpc: bool,
        ca_certificate: Path | None,
    ) -> None:
        self.url = url
        self.is_local = url == LOCAL
        self._api_key = api_key
        self._timeout = timeout
        self._grpc_port = grpc_port
        self._prefer_grpc = prefer_grpc
        self._ca_certificate = ca_certificate
        self._client: AsyncQdrantClient | None = None
        self._users = 0
        self._signs_of_life = SignsOfLife(url, lambda: self._open_client().info(), timeout=timeout)

    def acquire(self) -> None:
        """Use the client, which is made if nobody has it yet. Raises ConfigurationError for a url that is none."""
        if self._client is None:
            self._client = self._new_client()
        self._users += 1

    async def release(self) -> None:
        """Undo one `acquire`. In local mode the client holds the data, hence stays."""
        self._users -= 1
        if self._users == 0 and not self.is_local and self._client is not None:
            client, self._client = self._client, None
            self._signs_of_life.forget()
            await client.close()

    async def call(self, request: Callable[[AsyncQdrantClient], Awaitable[R]], *, within: float | None = None) -> R:
        """The answer to `request`, made again while that may help, within the timeout and the caller's deadline.

        `within` is a shorter time, in seconds. A silent server is not waited for (see SignsOfLife), except by bulk
        work, which loses more by failing. Raises QdrantFault, DeadlinePassedError.
        """
        raise_if_over()
        timeout = min(self._timeout, within or self._timeout)
        left = seconds_left()
        bound = timeout if left is None else min(left, timeout)
        began = time.monotonic()
        last: QdrantFault | None = None
        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, QdrantFault) and error.may_pass),
            wait=_wait,
            stop=stop_before_delay(bound),
            reraise=True,
        )

        async def attempt() -> R:
            nonlocal last
            raise_if_over()
            try:
                answer = await request(self._open_client())
            except Exception as error:
                last = fault_of(error)
                if last is None:
                    raise
                if last.kind is not FaultKind.AWAY:
                    self._signs_of_life.note_answer()
                raise last from error
            self._signs_of_life.note_answer()
            return answer

        try:
            async with asyncio.timeout(bound):
                if not is_bulk():
                    await self._signs_of_life.require()
                return await attempts(attempt)
        except TimeoutError as error:
            so_far = f"; before that: {last}" if last else ""
            if bound < timeout:
                raise DeadlinePassedError(
                    f"The caller's deadline passed before the Qdrant server at {self.url} answered{so_far}."
                ) from error
            if last is not None and last.kind is FaultKind.BUSY:
                raise last from error  # it was told to come back later, and time ran out amid doing so
            silence = QdrantFault(FaultKind.AWAY, f"no answer within {timeout:g} s{so_far}")
            if timeout == self._timeout:
                self._signs_of_life.note_silence(silence, since=began)
            raise silence from error
        except QdrantFault as fault:
            if fault.kind is FaultKind.AWAY and bound == self._timeout:
                self._signs_of_life.note_silence(fault, since=began)
            raise

    async def check_server(self) -> None:
        """Raises ConfigurationError for a server that is too old, QdrantFault for one that is away or refuses us."""
        ours = version("qdrant-client")
        theirs = (await self.call(lambda client: client.info(), within=OPENING_SECONDS)).version
        numbers = tuple(int(part) for part in theirs.split(".")[:2] if part.isdigit())
        if numbers and numbers < OLDEST_SERVER:
            raise ConfigurationError(
                f"The Qdrant server at {self.url} has version {theirs}; {'.'.join(map(str, OLDEST_SERVER))} or "
                "later is needed. Use the image qdrant/qdrant:v1.19.0."
            )
        if not is_compatible(ours, theirs):
            _log.warning(
                "The Qdrant server at %s has version %s, our client %s: they should be at most one minor version "
                "apart. Use the image qdrant/qdrant:v1.19.0.",
                self.url,
                theirs,
                ours,
            )

    def why_it_cannot_open(self, fault: QdrantFault) -> LookalikeError:
        """The domain's error for a fault while opening, when the configuration may be to blame."""
        match fault.kind:
            case FaultKind.REFUSED:
                given = "the given API key" if self._api_key else "requests without an API key"
                return ConfigurationError(f"The Qdrant server at {self.url} refuses {given}: {fault}")
            case FaultKind.AWAY:
                how = f"gRPC, port {self._grpc_port}" if self._prefer_grpc else "REST"
                return RepositoryUnavailableError(f"No Qdrant server answers at {self.url} ({how}): {fault}")
            case FaultKind.BUSY | FaultKind.FULL:
                return fault.translated(self.url)
            case _:
                return ConfigurationError(f"What answers at {self.url} cannot serve the index: {fault}")

    def _open_client(self) -> AsyncQdrantClient:
        if self._client is None:
            raise RuntimeError("The repository is used before it was opened, or after it was closed.")
        return self._client

    def _new_client(self) -> AsyncQdrantClient:
        if self.is_local:
            return AsyncQdrantClient(location=LOCAL)
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"{self.url!r} is no address of a Qdrant server; write http://localhost:6333.")
        if self._api_key and parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
            _log.warning("The Qdrant API key travels unencrypted to %s; use https.", self.url)
        return AsyncQdrantClient(
            url=self.url,
            # As a header and not as `api_key`, which warns of every plain connection, to the own machine too.
            headers={"api-key": self._api_key} if self._api_key else None,
            timeout=math.ceil(self._timeout),
            grpc_port=self._grpc_port,
            prefer_grpc=self._prefer_grpc,
            grpc_options=_grpc_patience(self._timeout) | self._grpc_trust(),
            check_compatibility=False,  # it asks on a thread and warns; `check_server` does so in order
            verify=self._trust() if parts.scheme == "https" else False,  # nothing to verify: spare 0.1 s of loading CAs
        )

    def _grpc_trust(self) -> dict[str, Any]:
        if self._ca_certificate is None:
            return {}
        try:
            return {"root_certificates": self._ca_certificate.read_bytes()}
        except OSError as error:
            raise ConfigurationError(f"The CA certificate {self._ca_certificate} cannot be read: {error}") from error

    def _trust(self) -> ssl.SSLContext | bool:
        if self._ca_certificate is None:
            return True
        try:
            return ssl.create_default_context(cafile=self._ca_certificate)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{self._ca_certificate} holds no CA certificate in PEM: {error}") from error


def _grpc_patience(timeout: float) -> dict[str, Any]:
    """Channel options by which a dead connection is replaced within `timeout` seconds.

    A peer that vanished without closing is pinged after a third of it, and given up after another, so that the request
    that waits is made again over a new connection while there is time. Nothing is pinged while nobody waits.
    """
    third = max(100, int(timeout * 1_000 / 3))
    return {
        "grpc.keepalive_time_ms": third,
        "grpc.keepalive_timeout_ms": third,
        # Of pings by which gRPC measures the line: 60 s else, and none other is sent before that.
        "grpc.http2.ping_timeout_ms": third,
        # For one attempt to connect; gRPC's own is 20 s, for which a listener that never speaks would be waited for.
        "grpc.min_reconnect_backoff_ms": third,
        # gRPC backs off for up to two minutes from a server that was away; attempts here are far between already.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1_000,
    }


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    named = error.retry_after if isinstance(error, QdrantFault) and error.retry_after is not None else 0.0
    return max(named, _BACKOFF(state))
