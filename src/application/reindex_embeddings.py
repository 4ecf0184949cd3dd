"""Encode everything anew, for another model or another decode contract."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from application.begun_work import all_of
from application.describe_again import DescribeAgain
from application.describe_pictures import DescribePictures
from application.index_pages import PAGE_SIZE, pages_of
from application.progress import Progress
from domain.errors import BusyError
from domain.filters import EVERYTHING
from domain.images import ImageId, ImageRecord, IndexedImage
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 16
MAX_PASSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexEmbeddings:
    """Re-encode from the stored originals into a second index, which replaces the first when it is complete.

    An interrupted run continues where it stopped. Passes repeat until one finds nothing that differs, so that what
    others index, patch or delete meanwhile (on a server) is carried over. That last pass encodes nothing and is short,
    but no index is locked: what others write to images that it has compared already is lost.
    """

    describe_again: DescribeAgain
    describe: DescribePictures
    repository: SimilarityRepository

    async def __call__(self) -> AsyncIterator[Progress]:
        """`repository` is open on whatever is there; both it and its replacement are closed at the end.

        Raises, with the index as it was: IndexDamagedError or ImageUnreadableError, if an original is missing or
        unreadable; BusyError, if others changed the index during every one of MAX_PASSES passes.
        """
        target = await self.repository.replacement(self.describe.encoder.space)
        try:
            for _ in range(MAX_PASSES):
                changed, done = False, 0
                async for page in pages_of(self.repository):
                    there = await target.get([record.id for record in page.items])
                    for first in range(0, len(page.items), GROUP_SIZE):
                        group = page.items[first : first + GROUP_SIZE]
                        changed |= await self._carry_over(group, there, target)
                        done += len(group)
                        yield Progress(done, max(page.total, done))
                changed |= await self._changed_since(target)
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

    async def _carry_over(
        self, records: Sequence[ImageRecord], there: Mapping[ImageId, ImageRecord], target: SimilarityRepository
    ) -> bool:
        """Make `target`, which has what is `there`, hold these records; whether it did not."""
        differing = [record for record in records if there.get(record.id) != record]
        patched = [record for record in differing if _an_update_suffices(record, there.get(record.id))]
        await target.update(patched)
        described = await all_of(self._described(record) for record in differing if record not in patched)
        if images := [image for image in described if image is not None]:
            await target.upsert(images)
        return bool(differing)

    async def _described(self, record: ImageRecord) -> IndexedImage | None:
        """The picture anew, by the objects that are known; None where it was deleted meanwhile."""
        description = await self.describe_again(record, objects=tuple(record.objects))
        if description is None:
            return None
        return IndexedImage(
            record=replace(record, appearance=description.appearance),
            embedding=description.embedding,
            object_embeddings=description.object_embeddings,
        )

    async def _changed_since(self, target: SimilarityRepository) -> bool:
        """Whether anything differs from `target`; drops from it what was deleted."""
        changed = False
        async for page in pages_of(target):
            current = await self.repository.get([record.id for record in page.items])
            changed |= any(current.get(record.id) != record for record in page.items)
            if gone := {record.id for record in page.items} - current.keys():
                await target.delete(gone)
        if changed or await target.count(EVERYTHING) != await self.repository.count(EVERYTHING):
            return True
        # As many may have come as gone: those that came are among the newest.
        newest = (await self.repository.list(limit=PAGE_SIZE)).items
        there = await target.get([record.id for record in newest])
        return any(there.get(record.id) != record for record in newest)


def _an_update_suffices(record: ImageRecord, other: ImageRecord | None) -> bool:
    return other is not None and other.updated_as(record) == record
