"""Everything of one picture that is to be stored: computed, or taken from what is indexed of the same bytes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from application.describe_pictures import DescribePictures
from application.indexed_images import indexed_images
from domain.exif import ExifPart, completed
from domain.filters import AnyOf, Field, Filter
from domain.images import ImageId, ImageRecord, IndexedImage
from domain.metadata import Metadata
from domain.ports.image_decoder import ImageDecoder
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE, ThumbnailRenderer


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A picture on its way in. `read` fetches its bytes when their turn comes; it may raise a LookalikeError."""

    filename: str
    read: Callable[[], Awaitable[bytes]]
    key: str | None = None
    source: str | None = None
    """None leaves the source of an image that is already there as it is."""
    metadata: Metadata | None = None
    """Likewise."""
    adopt: bool = False
    """If these bytes are stored without a key, that image gets the key."""
    exif: frozenset[ExifPart] = frozenset()
    """What of its own EXIF becomes metadata, where `metadata` says nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An upload whose bytes are here."""

    upload: Upload
    content: bytes
    sha256: str
    at: datetime
    content_id: ImageId
    id: ImageId
    exif: Metadata = field(default_factory=dict)
    """What the picture says of its taking, as far as that is asked for."""

    @property
    def ids(self) -> frozenset[ImageId]:
        """What may change with it: its own image, and one of the same bytes without a key."""
        return frozenset((self.id, self.content_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An upload with all that is to be stored of it."""

    arrived: Arrived
    image: IndexedImage
    thumbnails: Mapping[int, bytes] = field(default_factory=dict)
    """None of a picture whose bytes are stored already."""
    before: ImageRecord | None = None
    """What it replaces: the image of its id, or one of the same bytes that gets the key."""

    @property
    def record(self) -> ImageRecord:
        """That of the image."""
        return self.image.record


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparePictures:
    """Decodes, detects, encodes and renders a picture, unless the same bytes are indexed under another name."""

    decoder: ImageDecoder
    describe: DescribePictures
    thumbnails: ThumbnailRenderer
    repository: SimilarityRepository

    async def __call__(self, item: Arrived, before: ImageRecord | None, *, is_stored: bool) -> Prepared:
        """Everything of one picture that is to be stored, in the place of `before` if that is given."""
        if is_stored and (shared := await self._shared(item, before)) is not None:
            return shared
        # One step after the other: the pixels are held no longer than it takes.
        async with self.decoder.decoded(item.content, sufficient_side=self.describe.sufficient_side) as picture:
            thumbnail = await self.thumbnails.render(picture.raster, DEFAULT_THUMBNAIL_SIDE)
            description = await self.describe(picture)
        record = ImageRecord(
            id=item.id,
            filename=item.upload.filename,
            media_type=picture.media_type,
            width=picture.raster.width,
            height=picture.raster.height,
            size_bytes=len(item.content),
            sha256=item.sha256,
            created_at=item.at,
            updated_at=item.at,
            objects=description.objects,
            detection=self.describe.detection,
            appearance=description.appearance,
        )
        image = IndexedImage(
            record=_named(record, item, before),
            embedding=description.embedding,
            object_embeddings=description.object_embeddings,
        )
        return Prepared(arrived=item, image=image, thumbnails={DEFAULT_THUMBNAIL_SIDE: thumbnail}, before=before)

    async def _shared(self, item: Arrived, before: ImageRecord | None) -> Prepared | None:
        """By what is indexed of the same bytes under another name; None where that does not suffice."""
        same = Filter(all=(AnyOf(Field("sha256"), (item.sha256,)),))
        page = await self.repository.list(limit=1, where=same)
        for twin in (await indexed_images(self.repository, page.items)).values():
            if twin is not None and _is_current(twin.record, item.sha256, self.describe.detection):
                image = replace(twin, record=_named(twin.record, item, before))
                return Prepared(arrived=item, image=image, before=before)
        return None


def _named(record: ImageRecord, item: Arrived, before: ImageRecord | None) -> ImageRecord:
    """What is found of some bytes, as a record of the upload in the place of `before`."""
    named = replace(
        record,
        id=item.id,
        key=item.upload.key,
        filename=item.upload.filename,
        created_at=item.at if before is None else before.created_at,
        updated_at=item.at,
        source=None if before is None else before.source,
        metadata={} if before is None else before.metadata,
    )
    return annotated(named, item)


def _is_current(record: ImageRecord, sha256: str, detection: str) -> bool:
    """Whether it is of these bytes, and all is known of it that would be found now."""
    return (record.sha256, record.detection) == (sha256, detection) and record.appearance is not None


def annotated(record: ImageRecord, item: Arrived) -> ImageRecord:
    """With the source and the metadata that are given, and what its EXIF adds to these."""
    upload = item.upload
    return replace(
        record,
        source=record.source if upload.source is None else upload.source,
        metadata=completed(record.metadata if upload.metadata is None else upload.metadata, item.exif),
    )
