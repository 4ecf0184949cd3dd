"""Copy everything out, and back in, whatever the backends are."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from application.begun_work import all_of
from application.index_pages import pages_of
from application.indexed_images import indexed_images
from application.progress import Progress
from application.shared_originals import SharedOriginals
from application.stored_files import stored_original
from domain.errors import EmbeddingSpaceError, ImageNotFoundError, IndexDamagedError, Remedy
from domain.images import ImageId, ImageRecord, IndexedImage
from domain.ports.backup_archive import BackedUpImage, BackupArchive
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE

GROUP_SIZE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUp:
    """Write every image to an archive, which restores into any backend: from embedded to server, say."""

    repository: SimilarityRepository
    store: ImageStore

    async def __call__(self, archive: BackupArchive) -> AsyncIterator[Progress]:
        """Images that are deleted while this runs may be left out; those indexed meanwhile may be in.

        Raises ConfigurationError (the place is not empty), IndexDamagedError (a lost original or object),
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
        indexed = await indexed_images(self.repository, records)
        images = []
        for image in [_whole(id_, image) for id_, image in indexed.items()]:
            original = await stored_original(image.record, store=self.store, repository=self.repository)
            if original is not None:
                thumbnail = await self._thumbnail(image.record)
                images.append(BackedUpImage(image=image, original=original, thumbnail=thumbnail))
        return images

    async def _thumbnail(self, record: ImageRecord) -> bytes | None:
        try:
            return await self.store.thumbnail(record.sha256, DEFAULT_THUMBNAIL_SIDE)
        except ImageNotFoundError:
            return None


def _whole(id_: ImageId, image: IndexedImage | None) -> IndexedImage:
    if image is None:
        raise IndexDamagedError(f"Objects of image {id_} are missing.", remedy=Remedy.INDEX_THE_IMAGE_AGAIN)
    return image


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Fill repository and store from an archive; what is there under the same ids is replaced, the rest stays."""

    repository: SimilarityRepository
    originals: SharedOriginals

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
                remedy=Remedy.RESTORE_INTO_A_NEW_INDEX,
            )
        done, total = 0, await archive.count()
        async for group in archive.images():
            before = await self.repository.get([item.image.record.id for item in group])
            await all_of(self._put(item) for item in group)
            await self.repository.upsert([item.image for item in group])
            originals = {item.image.record.sha256: item.original for item in group}
            await self.originals.confirm(originals)
            await self.originals.purge({record.sha256 for record in before.values()} - originals.keys())
            done += len(group)
            yield Progress(done, total)

    async def _put(self, item: BackedUpImage) -> None:
        """Also where files are there: they may be damaged."""
        thumbnails = {} if item.thumbnail is None else {DEFAULT_THUMBNAIL_SIDE: item.thumbnail}
        await self.originals.store.put(
            item.image.record.sha256, original=item.original, thumbnails=thumbnails, replace=True
        )
