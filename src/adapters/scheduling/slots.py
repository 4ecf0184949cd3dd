"""Bounds on work: how much at once, on how many threads."""

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import ParamSpec, TypeVar

from adapters.scheduling.waiting_line import WaitingLine
from application.begun_work import finished

P = ParamSpec("P")
R = TypeVar("R")

CAPACITY = 1_000
"""Calls that may wait. What they hold in memory is bounded elsewhere; this bounds how long they wait."""


def started_threads(count: int, *, name: str) -> ThreadPoolExecutor:
    """An executor whose threads run already. Raises RuntimeError where the system has none left.

    A thread that cannot start later would lose its call: the executor keeps it, and its caller does not hear of it.
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
    """What the work needs was closed before it began."""


class Room:
    """Lets work go on side by side while it takes less than `most`; further work waits in a WaitingLine.

    However large, one piece of work is always let in. Belongs to one event loop.
    """

    def __init__(self, most: int, *, capacity: int = CAPACITY) -> None:
        self._most = most
        self._line: WaitingLine[int, None] = WaitingLine(capacity=capacity)
        self._closed = False
        self.in_use = 0

    @property
    def is_free(self) -> bool:
        """Whether work may begin at once, overtaking none that waits."""
        return self.in_use < self._most and not self._line

    @contextmanager
    def taken_now(self, cost: int) -> Iterator[None]:
        """Take so much room for the block. For callers that have seen that it is free."""
        self.in_use += cost
        try:
            yield
        finally:
            self._give_back(cost)

    @asynccontextmanager
    async def taken(self, cost: int = 1) -> AsyncIterator[None]:
        """Wait for a turn, and take so much room for the block.

        Raises BusyError, DeadlinePassedError, SlotsClosedError.
        """
        if self._closed:
            raise SlotsClosedError
        waiting = self._line.join(cost)
        self._serve()
        try:
            await waiting.result
            yield
        finally:
            if waiting.had_turn:
                self._give_back(cost)

    def close(self) -> None:
        """Drop what waits."""
        self._closed = True
        self._line.refuse_all(SlotsClosedError())

    def _give_back(self, cost: int) -> None:
        self.in_use -= cost
        self._serve()

    def _serve(self) -> None:
        while self.in_use < self._most and (waiting := self._line.take()):
            self.in_use += waiting.work
            waiting.result.set_result(None)


class Threads:
    """Runs calls off the event loop, in the context of their caller. Callers bring no more than there are threads."""

    def __init__(self, count: int, *, name: str) -> None:
        self._executor = started_threads(count, name=name)
        self._closed = False

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` on a thread. A caller that is cancelled meanwhile waits for its end.

        Raises SlotsClosedError, and what the function raises.
        """
        if self._closed:
            raise SlotsClosedError
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await finished(asyncio.get_running_loop().run_in_executor(self._executor, call))

    async def close(self) -> None:
        """Wait for what runs."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)


class Slots:
    """At most `size` calls at once, each on a thread of its own, off the event loop, in the order of a WaitingLine.

    A call that is cancelled, or whose caller's wait ends, while it waits for a slot never runs. One that is cancelled
    while it runs is waited for, so that what it works on is the caller's again.
    """

    def __init__(self, size: int, *, name: str) -> None:
        self._threads = Threads(size, name=name)
        self._room = Room(size)

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` on a slot's thread.

        Raises BusyError, DeadlinePassedError, SlotsClosedError, and what the function raises.
        """
        async with self._room.taken():
            return await self._threads.run(function, *args, **kwargs)

    async def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._room.close()
        await self._threads.close()
