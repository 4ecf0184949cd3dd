"""What SIGTERM and Ctrl-C do to a process that serves.

Uvicorn by itself closes its listening socket at once, drops idle connections, also where a request is on its way, and
waits for the others. Here its handlers are put off until the application has drained, so that it finds nothing to wait
for. The application itself does so, and thus each of several workers.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from entrypoints.http.server.draining import Draining

log = logging.getLogger(__name__)

Handler = Callable[[int, FrameType | None], Any]

ENDING = (signal.SIGINT, signal.SIGTERM)

ECHO_SECONDS = 1.0
"""A second signal within it is the same one: the terminal sends it to all processes, the parent to its workers."""

CLOSING_SECONDS = 8.0
"""The time for closing, after the limit for requests; then the process is ended. All that was acknowledged is durable
by then. Only an unfinished optimization of the index is lost, which begins anew."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, a signal ends the process at once: while it starts, which may take long, it has nothing to finish."""

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        os._exit(128 + number)  # process 1 of a container does not get its own signals

    with _handled(lambda _: end):
        yield


@contextmanager
def drained_by_signals(draining: Draining) -> Iterator[None]:
    """Within, the first signal drains the service and then calls the server's handler; a second one hurries it."""
    with _handled(lambda previous: _DrainFirst(draining, previous)):
        yield


class _DrainFirst:
    """A signal handler that drains, and then calls the server's."""

    def __init__(self, draining: Draining, previous: Mapping[int, Handler]) -> None:
        self._draining = draining
        self._previous = previous
        self._loop = asyncio.get_running_loop()
        self._asked_at: float | None = None
        self._drain: asyncio.Task[None] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._loop.call_soon_threadsafe(self._begin, number, frame)
        elif time.monotonic() - self._asked_at > ECHO_SECONDS:
            self._loop.call_soon_threadsafe(self._draining.hurry)

    def _begin(self, number: int, frame: FrameType | None) -> None:
        last_resort = threading.Timer(self._draining.limit_seconds + CLOSING_SECONDS, _end_as_it_is, (number,))
        last_resort.daemon = True
        last_resort.start()
        self._drain = asyncio.create_task(self._drain_and_hand_on(number, frame))

    async def _drain_and_hand_on(self, number: int, frame: FrameType | None) -> None:
        try:
            await self._draining.drain()
        finally:
            self._previous[number](number, frame)


def _end_as_it_is(number: int) -> None:
    log.error("The service could not be closed in time and ends as it is; what it acknowledged is stored")
    os._exit(128 + number)


@contextmanager
def _handled(make: Callable[[Mapping[int, Handler]], Handler]) -> Iterator[None]:
    """Replaces the server's signal handlers, within, by one that `make` makes of them.

    Where no server handles signals, as in tests, or where they cannot be handled, off the main thread, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGTERM)):
        yield
        return
    previous: dict[int, Any] = {number: signal.getsignal(number) for number in ENDING}
    handler = make(previous)
    for number in ENDING:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ENDING:
            signal.signal(number, previous[number])
