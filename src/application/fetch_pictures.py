"""Fetch pictures by URL, for as long as the caller waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from domain.callers import raise_if_over, seconds_left
from domain.errors import DeadlinePassedError, LookalikeError
from domain.ports.picture_source import PictureSource

AHEAD = 4
"""Pictures that are fetched while one is worked on, and held in memory meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPictures:
    """Fetch one picture, or many that are read one after the other."""

    source: PictureSource

    async def one(self, url: str) -> bytes:
        """A picture's bytes. Raises what PictureSource does, and DeadlinePassedError."""
        raise_if_over()
        try:
            async with asyncio.timeout(seconds_left()):
                return await self.source.fetch(url)
        except TimeoutError:
            raise DeadlinePassedError("The caller's deadline passed while the picture was fetched.") from None

    @asynccontextmanager
    async def many(self, urls: Sequence[str]) -> AsyncIterator[list[Callable[[], Awaitable[bytes]]]]:
        """What reads each picture, within the block: in this order, each once or never. The next are fetched ahead.

        Raises FetchingDisabledError.
        """
        self.source.require_enabled()
        begun: dict[int, asyncio.Task[bytes | LookalikeError]] = {}

        async def attempt(url: str) -> bytes | LookalikeError:
            try:
                return await self.one(url)
            except LookalikeError as error:
                return error

        async def read(place: int) -> bytes:
            for passed_over in [each for each in begun if each < place]:
                begun.pop(passed_over).cancel()
            for ahead in range(place, min(place + AHEAD, len(urls))):
                if ahead not in begun:
                    begun[ahead] = asyncio.create_task(attempt(urls[ahead]))
            found = await begun.pop(place)
            if isinstance(found, LookalikeError):
                raise found
            return found

        try:
            yield [partial(read, place) for place in range(len(urls))]
        finally:
            for task in begun.values():
                task.cancel()
            await asyncio.gather(*begun.values(), return_exceptions=True)
