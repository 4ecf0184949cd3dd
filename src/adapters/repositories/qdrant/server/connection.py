"""A connection to a Qdrant server: its client, repeated attempts, and one bound on the time that they take."""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import tenacity
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.version_check import is_compatible

from adapters.repositories.qdrant.server.faults import FaultKind, QdrantFault, fault_of
from application.begun_work import finished
from domain.callers import Deadline, is_bulk, raise_if_over, seconds_left, within
from domain.errors import ConfigurationError, DeadlinePassedError, LookalikeError, RepositoryUnavailableError

R = TypeVar("R")

OLDEST_SERVER = (1, 19)
"""Prefixes of keywords come with it."""

_IMAGE = "Use the image qdrant/qdrant:v1.19.0."

OPENING_SECONDS = 2.0
"""How long a server may take for its first answer, so that a start soon reports one that is away."""

CHECK_SECONDS = 1.0
"""How long a server that has been silent may take to answer a health check."""

_CHECK_PAUSE_SECONDS = 0.05
"""Between two attempts of a health check. One refusal says little: gRPC refuses without asking for a while after a
connection failed."""

_BACKOFF = tenacity.wait_random_exponential(multiplier=0.1, max=2.0)
"""Seconds, growing and random, so that replicas that lost the same server do not come back in step."""

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False, repr=False)
class QdrantConnection:
    """One client, shared by the repositories that `acquire` it and closed by the last that releases it.

    A server that let a request wait for the whole timeout, and answered no other meanwhile, is taken for silent.
    Requests to a silent server ask for a sign of life first, all of them together, and fail soon without one: they
    would queue up behind a dead server otherwise, each for the whole timeout. Bulk work waits, since it loses more by
    failing.
    """

    url: str
    api_key: str | None = None
    timeout: float = 10.0
    """Seconds, which a request may take with all its attempts."""
    grpc_port: int = 6334
    prefer_grpc: bool = True
    ca_certificate: Path | None = None

    def __post_init__(self) -> None:
        self._client: AsyncQdrantClient | None = None
        self._users = 0
        self._limits: set[asyncio.Timeout] = set()
        """Those of the requests under way."""
        self._answered_at = -math.inf
        self._silence: QdrantFault | None = None
        self._health_check: asyncio.Task[None] | None = None

    def acquire(self) -> None:
        """Use the client, which is made if there is none yet. Raises ConfigurationError for a url that is none."""
        if self._client is None:
            self._client = self._new_client()
        self._users += 1

    async def release(self) -> None:
        """Undo one `acquire`. Requests that are under way when the client is closed end in a QdrantFault."""
        self._users -= 1
        if self._users == 0 and self._client is not None:
            client, self._client = self._client, None
            await finished(self._close(client))

    async def _close(self, client: AsyncQdrantClient) -> None:
        under_way = set(self._limits)
        for limit in under_way:
            if not limit.expired():
                limit.reschedule(0.0)
        while under_way & self._limits:  # noqa: ASYNC110 - a connection that is made or used after `close` stays open
            await asyncio.sleep(0.001)
        self._silence = None
        await client.close()

    async def call(self, request: Callable[..., Awaitable[R]], *args: object, **kwargs: object) -> R:
        """The answer to a method of the client, asked again while that may help.

        It takes no longer than the timeout, and ends at the caller's deadline. A silent server is not waited for.
        Raises QdrantFault, DeadlinePassedError.
        """
        return await self._within(self.timeout, lambda client: request(client, *args, **kwargs))

    @contextmanager
    def faults_translated(self) -> Iterator[None]:
        """Raise the domain's error for a fault that nothing has handled."""
        try:
            yield
        except QdrantFault as fault:
            raise fault.translated(self.url) from fault

    async def _within(
        self, seconds: float, request: Callable[[AsyncQdrantClient], Awaitable[R]], *, is_check: bool = False
    ) -> R:
        raise_if_over()
        client = self._open_client()
        left = seconds_left()
        bound = seconds if left is None else min(left, seconds)
        began = time.monotonic()
        last: QdrantFault | None = None
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(
                # any answer is enough of a check
                lambda error: isinstance(error, QdrantFault) and error.may_pass and not (is_check and not self._silence)
            ),
            wait=tenacity.wait_fixed(_CHECK_PAUSE_SECONDS) if is_check else _wait,
            stop=tenacity.stop_before_delay(bound),
            reraise=True,
        )

        async def attempt() -> R:
            nonlocal last
            raise_if_over()
            try:
                answer = await request(client)
            except Exception as error:
                last = fault_of(error)
                if last is None:
                    raise
                if last.kind is not FaultKind.AWAY:
                    self._note_answer()
                raise last from error
            self._note_answer()
            return answer

        limit = asyncio.timeout(bound)
        try:
            async with limit:
                self._limits.add(limit)
                if not is_check and not is_bulk():
                    await self._require_sign_of_life()
                return await attempts(attempt)
        except TimeoutError as error:
            if self._client is not client:
                raise QdrantFault(FaultKind.AWAY, "the connection was closed meanwhile") from error
            so_far = f"; before that: {last}" if last else ""
            if bound < seconds:
                raise DeadlinePassedError(
                    f"The caller's deadline passed before the Qdrant server at {self.url} answered{so_far}."
                ) from error
            if last is not None and last.kind is FaultKind.BUSY:
                raise last from error  # the server said to come back later, and the time ran out meanwhile
            silence = QdrantFault(FaultKind.AWAY, f"no answer within {seconds:g} s{so_far}")
            self._note_silence(silence, since=began, after=bound)
            raise silence from error
        except QdrantFault as fault:
            self._note_silence(fault, since=began, after=bound)
            raise
        finally:
            self._limits.discard(limit)

    def _note_answer(self) -> None:
        """The server has answered, be it by refusing."""
        self._answered_at = time.monotonic()
        if self._silence is not None:
            self._silence = None
            _log.info("The Qdrant server at %s answers again.", self.url)

    def _note_silence(self, fault: QdrantFault, *, since: float, after: float) -> None:
        """A request has failed after so many seconds, which began then (`time.monotonic()`)."""
        is_silence = fault.kind is FaultKind.AWAY and after == self.timeout and self._answered_at < since
        if is_silence and self._silence is None:
            self._silence = fault
            _log.warning("The Qdrant server at %s is silent: %s", self.url, fault)

    async def _require_sign_of_life(self) -> None:
        """Raises QdrantFault if the server is silent still."""
        silence = self._silence
        if silence is None:
            return
        if self._health_check is None or self._health_check.done():
            with within(Deadline()):  # all callers share it: no deadline of one ends it
                self._health_check = asyncio.create_task(self._check_health())
        check = self._health_check
        await asyncio.wait([check])  # a caller that is cancelled leaves it to the others
        check.result()
        if self._silence is not None:
            raise QdrantFault(FaultKind.AWAY, str(silence))

    async def _check_health(self) -> None:
        with suppress(QdrantFault):
            await self._within(min(CHECK_SECONDS, self.timeout), lambda client: client.info(), is_check=True)

    async def check_server(self) -> None:
        """Raises ConfigurationError for a server that is too old, QdrantFault for one that is away or refuses us."""
        ours = version("qdrant-client")
        theirs = (await self._within(min(OPENING_SECONDS, self.timeout), AsyncQdrantClient.info)).version
        numbers = tuple(int(part) for part in theirs.split(".")[:2] if part.isdigit())
        if numbers and numbers < OLDEST_SERVER:
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise ConfigurationError(
                f"The Qdrant server at {self.url} has version {theirs}; {oldest} or later is needed. {_IMAGE}"
            )
        if not is_compatible(ours, theirs):
            said = "The Qdrant server at %s has version %s, our client %s: they should be at most one minor apart. %s"
            _log.warning(said, self.url, theirs, ours, _IMAGE)

    def why_it_cannot_open(self, fault: QdrantFault) -> LookalikeError:
        """The domain's error for a fault while opening, when the configuration may be to blame."""
        match fault.kind:
            case FaultKind.REFUSED:
                given = "the given API key" if self.api_key else "requests without an API key"
                return ConfigurationError(f"The Qdrant server at {self.url} refuses {given}: {fault}")
            case FaultKind.AWAY:
                how = f"gRPC, port {self.grpc_port}" if self.prefer_grpc else "REST"
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
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"{self.url!r} is no address of a Qdrant server; write http://localhost:6333.")
        if self.api_key and parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
            _log.warning("The Qdrant API key travels unencrypted to %s; use https.", self.url)
        verify: ssl.SSLContext | bool = parts.scheme == "https"  # over HTTP that would load the system's CAs in vain
        grpc_options = _grpc_patience(self.timeout)
        if self.ca_certificate is not None:
            try:
                grpc_options["root_certificates"] = self.ca_certificate.read_bytes()
                verify = ssl.create_default_context(cafile=self.ca_certificate)
            except OSError as error:
                raise ConfigurationError(f"{self.ca_certificate} is no CA certificate in PEM: {error}") from error
        return AsyncQdrantClient(
            url=self.url,
            # As a header and not as `api_key`, which warns of every plain connection, to the own machine too.
            headers={"api-key": self.api_key} if self.api_key else None,
            timeout=math.ceil(self.timeout),
            grpc_port=self.grpc_port,
            prefer_grpc=self.prefer_grpc,
            grpc_options=grpc_options,
            check_compatibility=False,  # it asks on a thread and warns; `check_server` does so in order
            verify=verify,
        )


def _grpc_patience(timeout: float) -> dict[str, Any]:
    """Channel options by which a dead connection is replaced within `timeout` seconds.

    A peer that vanished without closing is pinged after a third of it, and given up after another, so that the request
    that waits is made again over a new connection while there is time. Nothing is pinged while no request waits.
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
        "grpc.max_reconnect_backoff_ms": min(500, third),  # less than a check for signs of life takes
    }


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    named = error.retry_after if isinstance(error, QdrantFault) and error.retry_after is not None else 0.0
    return max(named, _BACKOFF(state))
