"""Encode everything anew, for another model or another decode contract."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from application.describe_pictures import DescribePictures, PictureDescription
from application.progress import Progress
from application.stored_originals import StoredOriginals
from domain.callers import begin_bulk
from domain.errors import BusyError
from domain.filters import EVERYTHING
from domain.images import ImageRecord, IndexedImage
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 16
MAX_PASSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexEmbeddings:
    """Re-encode from the stored originals into a second index, which replaces the first when it is complete.

    An interrupted run continues where it stopped. Passes repeat until one finds nothing left to do, so that what
    others index, patch or delete meanwhile (on a server) is carried over.
    """

    originals: StoredOriginals
    describe: DescribePictures
    repository: SimilarityRepository

    async def __call__(self) -> AsyncIterator[Progress]:
        """`repository` is open on whatever is there; both it and its replacement are closed at the end.

        Raises, with the index as it was: ImageNotFoundError or ImageError, if an original is missing or unreadable;
        BusyError, if others changed the index during every one of MAX_PASSES passes.
        """
        target = await self.repository.replacement(self.describe.encoder.space)
        try:
            for _ in range(MAX_PASSES):
                changed = False
                async for records, progress in self._pages():
                    changed |= await self._carry_over(records, target)
                    yield progress
                changed |= await self._drop_deleted(target)
                if not changed:
                    break
            else:
                raise BusyError(
                    "Others keep changing the index faster than it is built anew: pause them, then run this again. The "
                    "old index stays."
                )
            await self.repository.promote(target)
        finally:
            await target.close()
            await self.repository.close()

    async def _pages(self) -> AsyncIterator[tuple[Sequence[ImageRecord], Progress]]:
        done, page = 0, await self.repository.list(limit=GROUP_SIZE)
        while page.items:
            done += len(page.items)
            yield page.items, Progress(done, max(page.total, done))
            if page.next_cursor is None:
                return
            page = await self.repository.list(limit=GROUP_SIZE, after=page.next_cursor)

    async def _carry_over(self, records: Sequence[ImageRecord], target: SimilarityRepository) -> bool:
        there = await target.get([record.id for record in records])
        new = [record for record in records if record.id not in there or there[record.id].objects != record.objects]
        patched = [record for record in records if record not in new and there[record.id].metadata != record.metadata]
        for record in patched:
            await target.set_metadata(record.id, record.metadata)
        if new:
            descriptions = await asyncio.gather(*(self._describe(record) for record in new))
            await target.upsert(
                [
                    IndexedImage(
                        record=record,
                        embedding=description.embedding,
                        object_embeddings=description.object_embeddings,
                    )
                    for record, description in zip(new, descriptions, strict=True)
                ]
            )
        return bool(new or patched)

    async def _describe(self, record: ImageRecord) -> PictureDescription:
        """The picture anew, which is held no longer than it takes, by the objects that are known."""
        begin_bulk()
        raster = await self.originals.decode(record.id)
        [description] = await self.describe.encode([raster], [record.objects])
        return description

    async def _drop_deleted(self, target: SimilarityRepository) -> bool:
        if await target.count(EVERYTHING) == await self.repository.count(EVERYTHING):
            return False
        dropped, page = False, await target.list(limit=200)
        while page.items:
            ids = {record.id for record in page.items}
            gone = ids - set(await self.repository.get(ids))
            await target.delete(gone)
            dropped |= bool(gone)
            if page.next_cursor is None:
                break
            page = await target.list(limit=200, after=page.next_cursor)
        return dropped
