"""Look at what is indexed."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from domain.errors import ImageNotFoundError
from domain.filters import EVERYTHING, Filter
from domain.images import Cursor, ImageId, ImagePage, ImageRecord, LabelCounts
from domain.ports.image_store import ImageStore, OpenedOriginal
from domain.ports.similarity_repository import SimilarityRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowseImages:
    """Reads by id, the listing, and labels. The record decides: a file that no record names is not there."""

    repository: SimilarityRepository
    store: ImageStore

    async def get(self, id_: ImageId) -> ImageRecord:
        """One image. Raises ImageNotFoundError."""
        found = await self.repository.get([id_])
        if id_ not in found:
            raise ImageNotFoundError([id_])
        return found[id_]

    async def page(self, *, limit: int, after: Cursor | None, where: Filter = EVERYTHING) -> ImagePage:
        """A page of the listing, newest first."""
        return await self.repository.list(limit=limit, after=after, where=where)

    def original(self, record: ImageRecord) -> AbstractAsyncContextManager[OpenedOriginal]:
        """The original bytes as uploaded, to be read. Raises ImageNotFoundError if they were deleted meanwhile."""
        return self.store.opened_original(record.id)

    async def thumbnail(self, record: ImageRecord) -> bytes:
        """The small upright rendition. Raises ImageNotFoundError if it was deleted meanwhile."""
        return await self.store.thumbnail(record.id)

    async def labels(self, where: Filter = EVERYTHING) -> LabelCounts:
        """The labels of detected objects, with how many images show each."""
        return await self.repository.label_counts(where)
