"""Look at what is indexed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime

from application.begun_work import all_of
from domain.errors import ImageNotFoundError, InvalidCursorError, InvalidFilterError, Remedy, StorageFullError
from domain.filters import EVERYTHING, Field, Filter, Scalar
from domain.images import ImageRecord
from domain.listing import NEWEST_FIRST, Cursor, ImagePage, Order
from domain.metadata import MetadataType, MetadataTypes, fields_declared
from domain.names import ImageName, id_of
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_store import ImageStore, OpenedOriginal
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE, ThumbnailRenderer, thumbnail_source_side

COUNTABLE = frozenset({MetadataType.KEYWORD, MetadataType.INTEGER, MetadataType.BOOL})
"""The declared types of metadata whose values can be counted."""

FacetCounts = Sequence[tuple[Scalar, int]]
"""Values, and how many images have each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowseImages:
    """Reads by id, the listing, and facets. The record decides: a file that no record names is not there."""

    repository: SimilarityRepository
    store: ImageStore
    decoder: ImageDecoder
    thumbnails: ThumbnailRenderer
    types: MetadataTypes

    async def get(self, name: ImageName) -> ImageRecord:
        """One image, by its id or key. Raises ImageNotFoundError."""
        [record] = (await self.lookup([name])).values()
        if record is None:
            raise ImageNotFoundError([name])
        return record

    async def lookup(self, names: Collection[ImageName]) -> Mapping[ImageName, ImageRecord | None]:
        """The image of each id or key; None where there is none."""
        ids = {name: id_of(name) for name in names}
        found = await self.repository.get(list(ids.values()))
        return {name: found.get(id_) for name, id_ in ids.items()}

    async def page(
        self, *, limit: int, after: Cursor | None, where: Filter = EVERYTHING, order_by: str = NEWEST_FIRST.name
    ) -> ImagePage:
        """A page of the listing. Raises InvalidOrderError, and InvalidCursorError for one of another order."""
        order = Order.parsed(order_by, self.types)
        if after is not None and isinstance(after.value, datetime) is not order.is_of_times:
            raise InvalidCursorError(f"The cursor is of another listing than one by {order_by}.")
        return await self.repository.list(limit=limit, after=after, where=where, order_by=order)

    def original(self, record: ImageRecord) -> AbstractAsyncContextManager[OpenedOriginal]:
        """The original bytes as uploaded, to be read. Raises ImageNotFoundError if they were deleted meanwhile."""
        return self.store.opened_original(record.sha256)

    async def thumbnail(self, record: ImageRecord, side: int = DEFAULT_THUMBNAIL_SIDE) -> bytes:
        """The upright rendition of a side in `THUMBNAIL_SIDES`; one that is missing is rendered, and kept.

        Raises ImageNotFoundError if the image was deleted meanwhile; ImageError where its original cannot be read
        anew, BusyError, DeadlinePassedError.
        """
        try:
            return await self.store.thumbnail(record.sha256, side)
        except ImageNotFoundError:
            original = await self.store.original(record.sha256)
        async with self.decoder.decoded(original, sufficient_side=thumbnail_source_side(side)) as picture:
            thumbnail = await self.thumbnails.render(picture.raster, side)
        with suppress(StorageFullError):  # then it is rendered again the next time
            await self.store.put(record.sha256, thumbnails={side: thumbnail})
            if not await self.repository.named([record.sha256]):  # deleted while it was rendered
                await self.store.delete_thumbnails(record.sha256)
        return thumbnail

    async def facets(self, fields: Iterable[str], where: Filter = EVERYTHING) -> Mapping[str, FacetCounts]:
        """For each field, its values with how many of the matching images have each, most frequent first.

        Raises InvalidFilterError for a field that is neither `labels` nor `media_type` nor a metadata key that is
        declared as keyword, integer or bool.
        """
        typed = {name: self._countable(Field(name)) for name in fields}
        counts = await all_of(self.repository.facet(Field(name), type_, where) for name, type_ in typed.items())
        return {
            name: sorted(found.items(), key=lambda item: (-item[1], str(item[0])))
            for name, found in zip(typed, counts, strict=True)
        }

    def _countable(self, field: Field) -> MetadataType:
        if field.name in ("labels", "media_type"):
            return MetadataType.KEYWORD
        type_ = self.types.get(field.metadata_key or "")
        if type_ not in COUNTABLE:
            countable = fields_declared(self.types, COUNTABLE)
            raise InvalidFilterError(
                f"The values of {field.name} are not counted. Those of {', '.join([*countable, 'labels, media_type'])} "
                "are, and of metadata keys that are declared as keyword, integer or bool.",
                remedy=Remedy.INDEX_THE_METADATA_KEY,
            )
        return type_
