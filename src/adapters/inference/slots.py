"""Bounded threads for work that holds a core."""

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from adapters.inference.waiting_line import Waiting, WaitingLine

P = ParamSpec("P")
R = TypeVar("R")

CAPACITY = 1_000
"""Calls that may wait. What they hold in memory is bounded elsewhere; this bounds how long they wait."""


def started_threads(count: int, *, name: str) -> ThreadPoolExecutor:
    """An executor whose threads run already. Raises RuntimeError where the system has none left.

    Later that would lose what the thread is for: an executor keeps the call, and whoever made it does not hear of it.
    """
    threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix=name)
    all_run = threading.Barrier(count + 1)
    try:
        for _ in range(count):
            threads.submit(all_run.wait)
        all_run.wait()
    except RuntimeError:
        all_run.abort()
        threads.shutdown(wait=False)
        raise
    return threads


class SlotsClosedError(RuntimeError):
    """The slots were closed before the call began."""


class Slots:
    """At most `size` calls at once, each on a thread of its own, off the event loop, in the order of a WaitingLine.

    A call that is cancelled, or whose caller's wait ends, while it waits for a slot never runs.
    """

    def __init__(self, size: int, *, name: str) -> None:
        self._threads = started_threads(size, name=name)
        self._line: WaitingLine[Callable[[], Any], Any] = WaitingLine(capacity=CAPACITY)
        self._free = size
        self._closed = False

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` on a slot's thread.

        Raises BusyError, DeadlinePassedError, SlotsClosedError, and what the function raises.
        """
        if self._closed:
            raise SlotsClosedError
        waiting = self._line.join(functools.partial(function, *args, **kwargs))
        self._begin()
        try:
            result: R = await waiting.result
            return result
        finally:
            # An exception holds this frame, and would hold the call with all that it works on, itself included.
            del waiting

    def _begin(self) -> None:
        while self._free and (waiting := self._line.take()):
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._threads, waiting.context.run, waiting.work)
            running.add_done_callback(functools.partial(self._finish, waiting))

    def _finish(self, waiting: Waiting[Callable[[], Any], Any], done: asyncio.Future[Any]) -> None:
        self._free += 1
        error = done.exception()
        if not waiting.result.done():
            waiting.result.set_result(done.result()) if error is None else waiting.result.set_exception(error)
        self._begin()

    async def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._closed = True
        self._line.refuse_all(SlotsClosedError())
        await asyncio.to_thread(self._threads.shutdown)
