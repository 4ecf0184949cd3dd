"""Take pictures into the index."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from application.describe_pictures import DescribePictures, PictureDescription
from application.keyed_locks import KeyedLocks
from domain.errors import LookalikeError
from domain.images import ContentHash, CreationClock, ImageId, ImageRecord, IndexedImage
from domain.metadata import Metadata
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_store import ImageStore
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import ThumbnailRenderer
from domain.raster import RasterImage

GROUP_SIZE = 16
"""Pictures that are decoded, encoded and committed together: enough to fill a batch, few enough to hold in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A picture on its way in. `read` fetches its bytes when their turn comes; it may raise a LookalikeError."""

    filename: str
    read: Callable[[], Awaitable[bytes]]
    metadata: Metadata | None = None
    """None leaves the metadata of an image that is already there as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOutcome:
    """What became of one upload: `image` unless it failed, then `error`."""

    filename: str
    status: Literal["created", "exists", "failed"]
    image: ImageRecord | None = None
    error: LookalikeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """An upload whose bytes are here."""

    upload: Upload
    content: bytes
    hash: ContentHash

    @property
    def id(self) -> ImageId:
        return self.hash.image_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """An upload that is decoded."""

    record: ImageRecord
    content: bytes
    raster: RasterImage
    thumbnail: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexImages:
    """Decode, detect, encode, store and index pictures; the record is written last and commits the picture.

    The same bytes are one image, whatever their name: sending them again changes nothing but the metadata, if given.
    A crash in between leaves at most files that no record names.
    """

    decoder: ImageDecoder
    describe: DescribePictures
    thumbnails: ThumbnailRenderer
    store: ImageStore
    repository: SimilarityRepository
    clock: CreationClock
    locks: KeyedLocks

    async def one(self, upload: Upload) -> IndexOutcome:
        """Index one picture. Raises what the failure was."""
        [outcome] = [outcome async for outcome in self([upload])]
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def __call__(self, uploads: Iterable[Upload]) -> AsyncIterator[IndexOutcome]:
        """Index pictures in groups, and yield one outcome for each in the order given; no failure stops the rest."""
        group: list[_Arrived | IndexOutcome] = []
        for upload in uploads:
            arrived = await _arrive(upload)
            twin = isinstance(arrived, _Arrived) and any(
                isinstance(other, _Arrived) and other.id == arrived.id for other in group
            )
            if twin or len(group) == GROUP_SIZE:
                for outcome in await self._index(group):
                    yield outcome
                group = []
            group.append(arrived)
        for outcome in await self._index(group):
            yield outcome

    async def _index(self, group: Sequence[_Arrived | IndexOutcome]) -> Sequence[IndexOutcome]:
        arrived = [item for item in group if isinstance(item, _Arrived)]
        async with self.locks.hold(item.id for item in arrived):
            try:
                outcomes = await self._index_arrived(arrived)
            except LookalikeError as error:
                outcomes = {item.id: _failed(item.upload, error) for item in arrived}
        return [item if isinstance(item, IndexOutcome) else outcomes[item.id] for item in group]

    async def _index_arrived(self, arrived: Sequence[_Arrived]) -> dict[ImageId, IndexOutcome]:
        known = await self.repository.get([item.id for item in arrived])
        settled = await asyncio.gather(
            *(
                self._already_there(item, known[item.id]) if item.id in known else self._prepare(item)
                for item in arrived
            )
        )
        outcomes = {
            item.id: result for item, result in zip(arrived, settled, strict=True) if isinstance(result, IndexOutcome)
        }
        prepared = [result for result in settled if isinstance(result, _Prepared)]
        try:
            committed = await self._commit(prepared)
        except LookalikeError as error:
            return outcomes | {
                item.record.id: IndexOutcome(filename=item.record.filename, status="failed", error=error)
                for item in prepared
            }
        return outcomes | {
            record.id: IndexOutcome(filename=record.filename, status="created", image=record) for record in committed
        }

    async def _already_there(self, item: _Arrived, record: ImageRecord) -> IndexOutcome:
        metadata = item.upload.metadata
        if metadata is not None and metadata != record.metadata:
            try:
                await self.repository.set_metadata(record.id, metadata)
            except LookalikeError as error:
                return _failed(item.upload, error)
            record = replace(record, metadata=metadata)
        return IndexOutcome(filename=item.upload.filename, status="exists", image=record)

    async def _prepare(self, item: _Arrived) -> _Prepared | IndexOutcome:
        created_at = self.clock.now()  # before the first await: in the order sent
        try:
            decoded = await self.decoder.decode(item.content, sufficient_side=self.describe.sufficient_side)
            thumbnail = await self.thumbnails.render(decoded.raster)
        except LookalikeError as error:
            return _failed(item.upload, error)
        record = ImageRecord(
            id=item.id,
            filename=item.upload.filename,
            media_type=decoded.media_type,
            width=decoded.raster.width,
            height=decoded.raster.height,
            size_bytes=len(item.content),
            sha256=item.hash.sha256,
            created_at=created_at,
            metadata=item.upload.metadata or {},
        )
        return _Prepared(record=record, content=item.content, raster=decoded.raster, thumbnail=thumbnail)

    async def _commit(self, prepared: Sequence[_Prepared]) -> Sequence[ImageRecord]:
        if not prepared:
            return ()
        descriptions = await self._describe_and_store(prepared)
        detection = self.describe.detection
        images = [
            IndexedImage(
                record=replace(item.record, objects=description.objects, detection=detection),
                embedding=description.embedding,
                object_embeddings=description.object_embeddings,
            )
            for item, description in zip(prepared, descriptions, strict=True)
        ]
        await self.repository.upsert(images)
        return [image.record for image in images]

    async def _describe_and_store(self, prepared: Sequence[_Prepared]) -> Sequence[PictureDescription]:
        """Both at once. If either fails, no file is left that no record will name."""
        files = (self.store.put(item.record.id, original=item.content, thumbnail=item.thumbnail) for item in prepared)
        describing = self.describe([item.raster for item in prepared])
        described, *stored = await asyncio.gather(describing, *files, return_exceptions=True)
        failures = [result for result in (described, *stored) if isinstance(result, BaseException)]
        if failures:
            await asyncio.gather(*(self.store.delete(item.record.id) for item in prepared))
            raise failures[0]
        assert isinstance(described, list)  # noqa: S101 - else it is a failure
        return described


async def _arrive(upload: Upload) -> _Arrived | IndexOutcome:
    try:
        content = await upload.read()
    except LookalikeError as error:
        return _failed(upload, error)
    return _Arrived(upload=upload, content=content, hash=await asyncio.to_thread(ContentHash.of, content))


def _failed(upload: Upload, error: LookalikeError) -> IndexOutcome:
    return IndexOutcome(filename=upload.filename, status="failed", error=error)
