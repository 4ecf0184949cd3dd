"""Records as the owner answers them, by the payloads of their points, and as the port does.

The owner answers one request after the other, so reading payloads, which takes longer than most searches, is the
parent's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from adapters.repositories.payload import record_of
from domain.images import ImageId, ImageRecord, Match

S = TypeVar("S")
T = TypeVar("T")

Payload = Mapping[str, Any]

_FEW = 50
"""So many payloads take a millisecond to read. More are read on a thread, so that the event loop stays free."""


class StoredImage(NamedTuple):
    """An image's point."""

    id: ImageId
    payload: Payload

    def record(self) -> ImageRecord:
        """What it holds."""
        return record_of(self.id, self.payload)


class ImageHit(NamedTuple):
    """An image's point that a search found."""

    id: ImageId
    payload: Payload
    score: float
    """Within [-1, 1] when it leaves the owner."""
    object_index: int | None = None
    """The place among the record's objects of the one that was found, where objects were searched."""

    def match(self) -> Match:
        """What the port calls it."""
        record = record_of(self.id, self.payload)
        region = None if self.object_index is None else record.objects[self.object_index]
        return Match(score=self.score, image=record, region=region)


async def read_each(read: Callable[[S], T], stored: Sequence[S]) -> list[T]:
    """What `read` makes of each."""

    def all_read() -> list[T]:
        return [read(each) for each in stored]

    return all_read() if len(stored) <= _FEW else await asyncio.to_thread(all_read)
