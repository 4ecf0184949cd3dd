"""Copy everything out, and back in, whatever the backends are."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from application.index_pages import pages_of
from application.progress import Progress
from application.stored_files import stored_original, stored_thumbnail
from domain.embeddings import Embeddings
from domain.errors import EmbeddingSpaceError, IndexDamagedError, Remedy
from domain.images import ImageId, ImageRecord, IndexedImage
from domain.ports.backup_archive import BackedUpImage, BackupArchive
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository

GROUP_SIZE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUp:
    """Write every image to an archive, which restores into any backend: from embedded to server, say."""

    repository: SimilarityRepository
    store: ImageStore

    async def __call__(self, archive: BackupArchive) -> AsyncIterator[Progress]:
        """Images that are deleted while this runs may be left out; those indexed meanwhile may be in.

        Raises ConfigurationError (the place is not empty), IndexDamagedError (a lost original, thumbnail or object),
        StorageFullError, UnavailableError.
        """
        await archive.begin(self.repository.space)
        done = 0
        async for page in pages_of(self.repository):
            for first in range(0, len(page.items), GROUP_SIZE):
                group = page.items[first : first + GROUP_SIZE]
                await archive.append(await self._with_files(group))
                done += len(group)
                yield Progress(done, max(page.total, done))
        await archive.finish()

    async def _with_files(self, records: Sequence[ImageRecord]) -> list[BackedUpImage]:
        images = []
        for image in await self._indexed(records):
            original, thumbnail = await asyncio.gather(
                *(
                    read(image.record.id, store=self.store, repository=self.repository)
                    for read in (stored_original, stored_thumbnail)
                )
            )
            if original is not None and thumbnail is not None:
                images.append(BackedUpImage(image=image, original=original, thumbnail=thumbnail))
        return images

    async def _indexed(self, records: Sequence[ImageRecord]) -> list[IndexedImage]:
        """Those of the images that are still there, as they are now, each with the embeddings that belong to it."""
        while True:
            ids = [record.id for record in records]
            embeddings = await self.repository.embeddings(ids)
            objects = await self.repository.object_embeddings(ids)
            now = await self.repository.get(ids)
            if all(now[record.id].objects == record.objects for record in records if record.id in now):
                break
            records = list(now.values())  # objects were detected anew meanwhile: read all again
        return [
            IndexedImage(record=now[id_], embedding=embeddings[id_], object_embeddings=_whole(id_, objects[id_]))
            for id_ in ids
            if id_ in now and id_ in embeddings and id_ in objects
        ]


def _whole(id_: ImageId, objects: Embeddings | None) -> Embeddings:
    if objects is None:
        raise IndexDamagedError(f"Objects of image {id_} are missing. Delete it and index it again.")
    return objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Fill repository and store from an archive; what is there under the same ids is replaced, the rest stays."""

    repository: SimilarityRepository
    store: ImageStore

    async def __call__(self, archive: BackupArchive) -> AsyncIterator[Progress]:
        """Safe to run again after an interruption.

        Raises EmbeddingSpaceError if the archive's embeddings are of another space than the index,
        ConfigurationError (no complete archive), StorageFullError, UnavailableError.
        """
        space = await archive.read_space()
        if space != self.repository.space:
            differences = space.differences(self.repository.space, ("backup", "index"))
            raise EmbeddingSpaceError(
                f"The backup was made in another embedding space ({differences}).",
                remedy=Remedy.RESTORE_WITH_ITS_ENCODER,
            )
        done, total = 0, await archive.count()
        async for group in archive.images():
            async with self.store.changing([item.image.record.id for item in group]):
                await asyncio.gather(
                    *(
                        self.store.put(item.image.record.id, original=item.original, thumbnail=item.thumbnail)
                        for item in group
                    )
                )
                await self.repository.upsert([item.image for item in group])
            done += len(group)
            yield Progress(done, total)
