"""Work that has begun is finished, whatever becomes of its caller."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar, overload

from domain.callers import Deadline, within
from domain.errors import LookalikeError

log = logging.getLogger(__name__)

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


async def committed(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which neither the caller's deadline nor a cancellation of the caller ends.

    Asks for no deadline itself: a caller whose deadline has passed should not begin.
    """
    with within(Deadline()):
        running = asyncio.create_task(work)
    return await finished(running)


async def finished(work: Awaitable[T]) -> T:
    """The result of `work`. A caller that is cancelled meanwhile, however often, is told so once the work has ended."""
    running = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None:
        return running.result()
    failure = None if running.cancelled() else running.exception()
    if failure is not None and not isinstance(failure, LookalikeError):
        log.error("Work failed whose caller had been cancelled", exc_info=failure)
    raise cancellation


@overload
async def all_of(work: tuple[Awaitable[A], Awaitable[B]]) -> tuple[A, B]: ...
@overload
async def all_of(work: Iterable[Awaitable[T]]) -> tuple[T, ...]: ...
async def all_of(work: Iterable[Awaitable[object]]) -> object:
    """All results, in order. Raises the first failure once all of the work has ended, not before."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return tuple(results)
