"""Whether a Qdrant server is worth waiting for."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from adapters.repositories.qdrant.server.faults import FaultKind, QdrantFault, fault_of

MOST_SECONDS = 1.0
"""How long a server that has been silent may take to answer a health check."""

_PAUSE_SECONDS = 0.05
"""Between one health check and the next."""

_log = logging.getLogger(__name__)


class SignsOfLife:
    """A server that let a request wait for the whole timeout, and answered no other meanwhile, is taken for silent.

    Requests to a silent server ask for a sign of life first, all of them together, and fail soon without one: they
    would queue up behind a dead server otherwise, each for the whole timeout.

    `health_check` asks the server for as little as it has; `timeout` is in seconds.
    """

    def __init__(self, server: str, health_check: Callable[[], Awaitable[object]], *, timeout: float) -> None:
        self._server = server
        self._health_check = health_check
        self._timeout = min(MOST_SECONDS, timeout)
        self._answered_at = -math.inf
        self._silence: QdrantFault | None = None
        self._checking: asyncio.Task[bool] | None = None

    def note_answer(self) -> None:
        """The server has answered, be it by refusing."""
        self._answered_at = time.monotonic()
        if self._silence is not None:
            self._silence = None
            _log.info("The Qdrant server at %s answers again.", self._server)

    def note_silence(self, fault: QdrantFault, *, since: float) -> None:
        """A request has had no answer since then (`time.monotonic()`)."""
        if self._answered_at < since and self._silence is None:
            self._silence = fault
            _log.warning("The Qdrant server at %s is silent: %s", self._server, fault)

    async def require(self) -> None:
        """Raises QdrantFault if the server is silent still."""
        if self._silence is None:
            return
        silence = str(self._silence)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        checking = self._checking
        await asyncio.wait([checking])  # others wait for it too; and it may be cancelled, which is not ours to pass on
        if checking.cancelled() or not checking.result():
            raise QdrantFault(FaultKind.AWAY, silence)

    async def forget(self) -> None:
        """Take the server for alive, and ask no more. Those that wait for an answer get a QdrantFault."""
        self._silence = None
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking])

    async def _check(self) -> bool:
        """Ask until there is an answer or the time is over.

        One refusal says little: gRPC refuses without asking for a while after a connection failed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                while not await self._answers():  # noqa: ASYNC110 - nothing tells when a server is back
                    await asyncio.sleep(_PAUSE_SECONDS)
            self.note_answer()
        return self._silence is None

    async def _answers(self) -> bool:
        try:
            await self._health_check()
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            return fault.kind is not FaultKind.AWAY
        return True
