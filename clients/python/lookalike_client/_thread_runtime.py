"""How Lookalike waits, and does several things at once. `_asyncio_runtime` is the same for AsyncLookalike."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import httpx

Item = TypeVar("Item")
Result = TypeVar("Result")
P = ParamSpec("P")

Client = httpx.Client
Transport = httpx.BaseTransport
sleep = time.sleep


def in_thread(call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Here, nothing else waits meanwhile."""
    return call(*args, **kwargs)


def streamed(segments: Sequence[bytes]) -> Iterator[bytes]:
    """A body as httpx takes it."""
    yield from segments


def in_order(call: Callable[[Item], Result], items: Iterable[Item], concurrency: int) -> Generator[Result]:
    """The results of calls, at most `concurrency` of them at once; those begun have ended when this is closed."""
    begun: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(concurrency) as pool:
        for item in items:
            begun.append(pool.submit(call, item))
            if len(begun) == concurrency:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
