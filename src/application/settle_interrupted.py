"""Put right what a crash cut short."""

import asyncio
from dataclasses import dataclass

from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleInterrupted:
    """Leave all or nothing of each image whose writing or deletion was cut short, as its record decides.

    The store knows which those are, so that the time depends on their number and not on the size of the index. To be
    done whenever index and files have been opened, before the first request.
    """

    repository: SimilarityRepository
    store: ImageStore

    async def __call__(self) -> int:
        """How many images were looked at. Raises UnavailableError, having forgotten none of them."""
        async with self.store.paused() as interrupted:
            if not interrupted:
                return 0
            recorded = await self.repository.get(interrupted)
            await asyncio.gather(*(self.store.delete(id_) for id_ in interrupted if id_ not in recorded))
            await self.repository.sweep_objects(interrupted)
            await self.store.forget_interrupted()
        return len(interrupted)
