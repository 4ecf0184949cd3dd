"""A stop without dropped requests: those in progress are finished, new ones are refused, all within a limit."""

import asyncio
import logging
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.contract.problems import problem_response
from entrypoints.http.server.paths import is_health

log = logging.getLogger(__name__)

RETRY_SECONDS = 5
"""When a refused caller may try again: another replica answers at once, and a restart takes about so long."""

CUT_SECONDS = 1.0
"""How long cancelled requests have for their answer."""


class Draining:
    """The requests in progress, and whether new ones are accepted.

    For the first `notice_seconds` of a stop only readiness fails, so that load balancers turn away before requests are
    refused. Then new requests are refused until those in progress are answered. What is not answered `limit_seconds`
    after the stop began is cancelled.
    """

    def __init__(self, *, limit_seconds: float, notice_seconds: float = 0.0) -> None:
        self.limit_seconds = limit_seconds
        self._notice_seconds = notice_seconds
        self._in_progress: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurried = asyncio.Event()
        self.stopping = False
        """A stop has been asked for."""
        self.refusing = False
        """New requests are refused."""
        self.cutting = False
        """Requests that are still in progress are cancelled."""

    async def drain(self) -> None:
        """Return once no request is in progress; at the limit, and when hurried, by cancelling those that are."""
        self.stopping = True
        log.info("Stopping; requests in progress: %d", len(self._in_progress))
        await _first_of(self._hurried, seconds=self._notice_seconds)
        self.refusing = True
        await _first_of(self._idle, self._hurried, seconds=self.limit_seconds - self._notice_seconds)
        self.cutting = True
        if self._in_progress:
            log.warning("Requests that are cancelled, as they are not answered in time: %d", len(self._in_progress))
            for task in self._in_progress:
                task.cancel()
            await _first_of(self._idle, seconds=CUT_SECONDS)

    def hurry(self) -> None:
        """Stop waiting for requests."""
        self._hurried.set()

    def taken(self, task: asyncio.Task[None]) -> None:
        """A request is in progress."""
        self._in_progress.add(task)
        self._idle.clear()

    def answered(self, task: asyncio.Task[None]) -> None:
        """It is no longer."""
        self._in_progress.discard(task)
        if not self._in_progress:
            self._idle.set()


class DrainedRequests:
    """Counts requests in progress, refuses new ones while the service drains, and answers those that are cancelled."""

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self.app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        # Health is answered to the end: it says that the service is stopping.
        if self._draining.refusing and not is_health(scope):
            await _refusal(scope, "The service is stopping, and takes no new requests.")(scope, receive, send)
            return
        started = False

        async def send_and_part(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if self._draining.stopping:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        self._draining.taken(task)
        try:
            await self.app(scope, receive, send_and_part)
        except asyncio.CancelledError:
            if not self._draining.cutting:
                raise
            task.uncancel()
            if not started:  # else the server closes the connection amid the answer
                stopped = "The service stopped before the answer was ready. Sending the request again does no harm."
                await _refusal(scope, stopped)(scope, receive, send)
        finally:
            self._draining.answered(task)


def _refusal(scope: Scope, detail: str) -> ASGIApp:
    headers = {"Retry-After": str(RETRY_SECONDS), "Connection": "close"}
    return problem_response(scope, HTTPStatus.SERVICE_UNAVAILABLE, "shutting_down", detail, headers)


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    """Return when one of them is set, after so many seconds at the latest."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
