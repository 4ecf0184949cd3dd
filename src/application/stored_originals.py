"""Stored originals as pictures again, to be described anew."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from application.describe_pictures import DescribePictures
from application.stored_files import stored_original
from domain.errors import ImageError, ImageUnreadableError
from domain.images import ImageId
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository
from domain.raster import RasterImage


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOriginals:
    """Reads and decodes originals for reindexing."""

    store: ImageStore
    decoder: ImageDecoder
    describe: DescribePictures
    repository: SimilarityRepository

    @asynccontextmanager
    async def decoded(self, id_: ImageId) -> AsyncIterator[RasterImage | None]:
        """The picture for the block; None where the image was deleted meanwhile.

        Raises IndexDamagedError where it is missing, ImageUnreadableError where it was accepted once but is no more.
        """
        content = await stored_original(id_, store=self.store, repository=self.repository)
        if content is None:
            yield None
            return
        async with AsyncExitStack() as decoding:
            try:
                picture = await decoding.enter_async_context(
                    self.decoder.decoded(content, sufficient_side=self.describe.sufficient_side)
                )
            except ImageError as error:
                raise ImageUnreadableError(
                    f"The stored original of {id_} cannot be read anew: {error} Delete that image, then run this again."
                ) from error
            yield picture.raster
