"""One writer at a time for each image."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from domain.callers import seconds_left
from domain.errors import DeadlinePassedError
from domain.images import ImageId


class KeyedLocks:
    """Locks by image id, so that indexing, patching and deleting one image in this process never interleave.

    Of what several processes change in one image, the last write wins; files that they share `SharedOriginals` keeps.
    """

    def __init__(self) -> None:
        self._held: dict[ImageId, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, ids: Iterable[ImageId]) -> AsyncIterator[None]:
        """Hold the locks of all `ids`, taken in one global order so that no two holders wait for each other.

        Raises DeadlinePassedError if the caller's wait is over before they are free.
        """
        async with AsyncExitStack() as stack:
            for id_ in sorted(set(ids)):
                await stack.enter_async_context(self._hold_one(id_))
            yield

    @asynccontextmanager
    async def _hold_one(self, id_: ImageId) -> AsyncIterator[None]:
        lock, users = self._held.get(id_, (asyncio.Lock(), 0))
        self._held[id_] = (lock, users + 1)
        try:
            await _acquire(lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._held.pop(id_)
            if users > 1:
                self._held[id_] = (lock, users - 1)


async def _acquire(lock: asyncio.Lock) -> None:
    try:
        async with asyncio.timeout(seconds_left()):
            await lock.acquire()
    except TimeoutError as error:
        raise DeadlinePassedError("The caller's deadline passed while others changed the same picture.") from error
