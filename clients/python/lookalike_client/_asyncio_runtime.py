"""How AsyncLookalike waits, and does several things at once. `_thread_runtime` is the same for Lookalike."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import httpx

Item = TypeVar("Item")
Result = TypeVar("Result")

Client = httpx.AsyncClient
Transport = httpx.AsyncBaseTransport
sleep = asyncio.sleep
in_thread = asyncio.to_thread


async def streamed(segments: Sequence[bytes]) -> AsyncIterator[bytes]:
    """A body as httpx takes it."""
    for segment in segments:
        yield segment


async def in_order(
    call: Callable[[Item], Awaitable[Result]], items: Iterable[Item], concurrency: int
) -> AsyncGenerator[Result]:
    """The results of calls, at most `concurrency` of them at once; those begun have ended when this is closed.

    A cancellation cancels them too.
    """
    begun: deque[asyncio.Future[Result]] = deque()
    try:
        for item in items:
            begun.append(asyncio.ensure_future(call(item)))
            if len(begun) == concurrency:
                yield await begun.popleft()
        while begun:
            yield await begun.popleft()
    except asyncio.CancelledError:
        for task in begun:
            task.cancel()
        raise
    finally:
        await asyncio.gather(*begun, return_exceptions=True)
