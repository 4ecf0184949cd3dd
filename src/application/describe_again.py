"""Describe stored originals anew."""

from dataclasses import dataclass

from application.describe_pictures import DescribePictures, PictureDescription
from application.stored_files import stored_original
from domain.callers import begin_bulk
from domain.errors import ImageError, ImageUnreadableError
from domain.images import DetectedObject, ImageRecord
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeAgain:
    """The description of an indexed image from its stored original, for reindexing."""

    store: ImageStore
    decoder: ImageDecoder
    describe: DescribePictures
    repository: SimilarityRepository

    async def __call__(
        self, record: ImageRecord, *, objects: tuple[DetectedObject, ...] | None = None
    ) -> PictureDescription | None:
        """The picture described anew, as bulk work, by its `objects` if they are known; None where it was deleted.

        Raises IndexDamagedError where it is missing, ImageUnreadableError where it was accepted once but is no more.
        """
        begin_bulk()
        content = await stored_original(record, store=self.store, repository=self.repository)
        if content is None:
            return None
        try:
            async with self.decoder.decoded(content, sufficient_side=self.describe.sufficient_side) as picture:
                return await self.describe(picture, objects=objects)
        except ImageError as error:
            raise ImageUnreadableError(
                f"The stored original of {record.id} cannot be read anew: {error} Delete that image, then run this "
                "again."
            ) from error
