"""Waiting for what another thread or process is about to do."""

import asyncio
import time
from collections.abc import Callable


async def eventually(holds: Callable[[], bool], *, seconds: float = 30.0) -> bool:
    """Whether it holds within so many seconds."""
    give_up = time.monotonic() + seconds
    while not holds() and time.monotonic() < give_up:  # noqa: ASYNC110 - a thread sets no event of ours
        await asyncio.sleep(0.002)
    return holds()


def until(holds: Callable[[], bool], *, seconds: float = 30.0) -> bool:
    """The same for tests that are not async."""
    give_up = time.monotonic() + seconds
    while not holds() and time.monotonic() < give_up:
        time.sleep(0.02)
    return holds()
