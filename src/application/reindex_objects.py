"""Detect everything anew, for pictures indexed without a detector, with another one, or by another policy."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from application.begun_work import all_of
from application.describe_again import DescribeAgain
from application.describe_pictures import DescribePictures
from application.index_pages import pages_of
from application.keyed_locks import KeyedLocks
from application.progress import Progress
from application.shared_originals import SharedOriginals
from domain.errors import DetectorUnavailableError, Remedy
from domain.images import ImageRecord, IndexedImage
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexObjects:
    """Replace each image's objects by what the detector and the policy of now find in its stored original.

    Each image says what found its objects, so a run passes over what is done: an interrupted one continues. Writers in
    other processes should pause: what they change in the moment before an image is written anew is lost.
    """

    describe_again: DescribeAgain
    describe: DescribePictures
    originals: SharedOriginals
    repository: SimilarityRepository
    locks: KeyedLocks

    async def __call__(self) -> AsyncIterator[Progress]:
        """`repository` is open in the encoder's space.

        Raises ImageUnreadableError, IndexDamagedError (a lost original), UnavailableError; DetectorUnavailableError,
        having changed nothing, where objects are wanted and there is no detector.
        """
        if self.describe.policy.enabled and self.describe.detector.description is None:
            raise DetectorUnavailableError(
                "No detector is there to look for objects anew, so those that are indexed stay.",
                remedy=Remedy.CHOOSE_A_DETECTOR_OR_REMOVE_OBJECTS,
            )
        done = 0
        async for page in pages_of(self.repository):
            for first in range(0, len(page.items), GROUP_SIZE):
                group = page.items[first : first + GROUP_SIZE]
                await self._renew([record for record in group if record.detection != self.describe.detection])
                done += len(group)
                yield Progress(done, max(page.total, done))

    async def _renew(self, stale: Sequence[ImageRecord]) -> None:
        if not stale:
            return
        described = await all_of(self.describe_again(record) for record in stale)
        descriptions = {record.id: found for record, found in zip(stale, described, strict=True) if found is not None}
        sha256s = {record.id: record.sha256 for record in stale}
        async with self.locks.hold(descriptions):
            current = await self.repository.get(list(descriptions))  # patched, replaced or deleted meanwhile, perhaps
            images = [
                IndexedImage(
                    record=replace(
                        record,
                        objects=descriptions[id_].objects,
                        detection=self.describe.detection,
                        appearance=descriptions[id_].appearance,
                    ),
                    embedding=descriptions[id_].embedding,
                    object_embeddings=descriptions[id_].object_embeddings,
                )
                for id_, record in current.items()
                if record.sha256 == sha256s[id_]
            ]
            await self.repository.upsert(images)
            lost = await self.originals.confirm({image.record.sha256: None for image in images})
            # Others have deleted these meanwhile, and their files: they are not to come back.
            await self.repository.delete([image.record.id for image in images if image.record.sha256 in lost])
