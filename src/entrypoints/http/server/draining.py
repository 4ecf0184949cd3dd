"""Stopping without dropping anybody: what is in hand is finished, what comes anew is refused, all within a limit."""

import asyncio
import logging
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.contract.problems import ProblemResponse, problem
from entrypoints.http.server.paths import is_health

log = logging.getLogger(__name__)

RETRY_SECONDS = 5
"""When a refused caller may try again: another replica answers at once, and a restart takes about so long."""

CUT_SECONDS = 1.0
"""How long requests that are cut have to say so."""


class Draining:
    """The requests in hand, and whether new ones are taken.

    For the first `notice_seconds` of a stop only readiness tells of it, so that balancers look elsewhere before anybody
    is refused. Then new requests are refused until those in hand are answered. What is not answered `limit_seconds`
    after the stop began is cut.
    """

    def __init__(self, *, limit_seconds: float, notice_seconds: float = 0.0) -> None:
        self.limit_seconds = limit_seconds
        self._notice_seconds = notice_seconds
        self._in_hand: set[asyncio.Task[None]] = set()
        self._none_in_hand = asyncio.Event()
        self._none_in_hand.set()
        self._hurried = asyncio.Event()
        self.stopping = False
        """A stop has been asked for."""
        self.refusing = False
        """New requests are refused."""
        self.cutting = False
        """What is still in hand is waited for no longer."""

    async def drain(self) -> None:
        """Return once nothing is in hand any more; at the limit, and when hurried, by cutting what is."""
        self.stopping = True
        log.info("Stopping; requests in hand: %d", len(self._in_hand))
        await _first_of(self._hurried, seconds=self._notice_seconds)
        self.refusing = True
        await _first_of(self._none_in_hand, self._hurried, seconds=self.limit_seconds - self._notice_seconds)
        self.cutting = True
        if self._in_hand:
            log.warning("Requests that are cut, as they are not answered in time: %d", len(self._in_hand))
            for task in self._in_hand:
                task.cancel()
            await _first_of(self._none_in_hand, seconds=CUT_SECONDS)

    def hurry(self) -> None:
        """Wait for nobody."""
        self._hurried.set()

    def taken(self, task: asyncio.Task[None]) -> None:
        """A request is in hand."""
        self._in_hand.add(task)
        self._none_in_hand.clear()

    def answered(self, task: asyncio.Task[None]) -> None:
        """It no longer is."""
        self._in_hand.discard(task)
        if not self._in_hand:
            self._none_in_hand.set()


class DrainedRequests:
    """Counts requests in hand, refuses new ones when the service drains, and tells those that are cut."""

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self.app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        # Health is answered to the end: whoever asks wants to know just that.
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
            if not started:  # else the server closes the connection amid the answer, which tells as much
                stopped = "The service stopped before the answer was ready. Sending the request again does no harm."
                await _refusal(scope, stopped)(scope, receive, send)
        finally:
            self._draining.answered(task)


def _refusal(scope: Scope, detail: str) -> ASGIApp:
    return ProblemResponse(
        problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "shutting_down",
            detail,
            instance=scope["path"],
            request_id=scope["state"]["request_id"],
        ),
        {"Retry-After": str(RETRY_SECONDS), "Connection": "close"},
    )


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    """Return when one of them is set, after so many seconds at the latest."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
