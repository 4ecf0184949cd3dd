"""Bounded threads for work that holds a core."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from domain.deadlines import raise_if_passed

P = ParamSpec("P")
R = TypeVar("R")


class SlotsClosedError(RuntimeError):
    """The slots were closed before the call began."""


class Slots:
    """At most `size` calls at once, each on a thread of its own, off the event loop.

    A call that is cancelled, or whose deadline passes, while it waits for a slot never runs.
    """

    def __init__(self, size: int, *, name: str) -> None:
        self._threads = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)
        self._closed = False

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` on a slot's thread.

        Raises DeadlinePassedError, SlotsClosedError, and what the function raises.
        """

        def begin() -> R:
            raise_if_passed()
            return function(*args, **kwargs)

        if self._closed:
            raise SlotsClosedError
        context = contextvars.copy_context()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, begin)
        except asyncio.CancelledError as error:
            # Closing cancels what waits; only a cancelled caller should look cancelled.
            task = asyncio.current_task()
            if self._closed and (task is None or task.cancelling() == 0):
                raise SlotsClosedError from error
            raise

    def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)
