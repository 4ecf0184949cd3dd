"""Take pictures into the index."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from application.begun_work import all_of, committed
from application.describe_pictures import DescribePictures
from application.keyed_locks import KeyedLocks
from domain.callers import begin_bulk, raise_if_over
from domain.errors import InternalError, LookalikeError, RepositoryUnavailableError, StorageFullError
from domain.images import ContentHash, CreationClock, ImageId, ImageRecord, IndexedImage
from domain.metadata import Metadata, MetadataTypes, check_types
from domain.ports.image_decoder import DecodedImage, ImageDecoder
from domain.ports.image_store import FileSizes, ImageStore
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import ThumbnailRenderer

log = logging.getLogger(__name__)

GROUP_SIZE = 16
"""Pictures that are committed together: enough to share the cost of making them durable."""

GROUP_BYTES = 32 * 1024 * 1024
"""A group of large files is full sooner, since their bytes are held in memory."""

GROUPS_AT_ONCE = 3
"""While one group is stored, the next keeps the models busy, and one more is being decoded."""


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
    at: datetime

    @property
    def id(self) -> ImageId:
        return self.hash.image_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """An upload with all that is to be stored of it."""

    upload: Upload
    image: IndexedImage
    content: bytes
    thumbnail: bytes

    @property
    def record(self) -> ImageRecord:
        return self.image.record


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexImages:
    """Decode, detect, encode, store and index pictures; the record is written last and commits the picture.

    The same bytes are one image, whatever their name: sending them again changes nothing but the metadata, if given,
    and puts back stored files that were lost.
    What a crash leaves in between is settled at the next start (`SettleInterrupted`).
    """

    decoder: ImageDecoder
    describe: DescribePictures
    thumbnails: ThumbnailRenderer
    store: ImageStore
    repository: SimilarityRepository
    clock: CreationClock
    locks: KeyedLocks
    types: MetadataTypes
    """What metadata keys take: other values fail the picture that they come with."""

    async def one(self, upload: Upload) -> IndexOutcome:
        """Index one picture. Raises what the failure was."""
        [outcome] = await self._index([await self._arrive(upload)])
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def __call__(self, uploads: Iterable[Upload]) -> AsyncIterator[IndexOutcome]:
        """Index pictures, and yield one outcome for each in the order given; no failure stops the rest.

        An error without a name fails the pictures that are committed together with InternalError, and is logged.
        It is bulk work: callers who wait for one answer go first. Several groups are under way at once, so that every
        stage has work. A caller that stops early leaves each of them committed or not, as after a crash.
        """
        under_way: deque[asyncio.Task[Sequence[IndexOutcome]]] = deque()
        try:
            async for group in self._groups(uploads):
                under_way.append(asyncio.create_task(self._index_in_bulk(group)))
                if len(under_way) == GROUPS_AT_ONCE:
                    for outcome in await under_way.popleft():
                        yield outcome
            while under_way:
                for outcome in await under_way.popleft():
                    yield outcome
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _groups(self, uploads: Iterable[Upload]) -> AsyncIterator[list[_Arrived | IndexOutcome]]:
        """Uploads as they arrive, a bounded number of pictures and bytes together; none twice in one group."""
        group: list[_Arrived | IndexOutcome] = []
        ids: set[ImageId] = set()
        held = 0
        for upload in uploads:
            arrived = await self._arrive(upload)
            twin = isinstance(arrived, _Arrived) and arrived.id in ids
            if group and (twin or len(group) == GROUP_SIZE or held > GROUP_BYTES):
                yield group
                group, ids, held = [], set(), 0
            group.append(arrived)
            if isinstance(arrived, _Arrived):
                ids.add(arrived.id)
                held += len(arrived.content)
        if group:
            yield group

    async def _arrive(self, upload: Upload) -> _Arrived | IndexOutcome:
        try:
            check_types(upload.metadata or {}, self.types)
            content = await upload.read()
        except LookalikeError as error:
            return _failed(upload, error)
        hash_ = await asyncio.to_thread(ContentHash.of, content)
        return _Arrived(upload=upload, content=content, hash=hash_, at=self.clock.now())

    async def _index_in_bulk(self, group: Sequence[_Arrived | IndexOutcome]) -> Sequence[IndexOutcome]:
        begin_bulk()
        try:
            return await self._index(group)
        except Exception:
            log.exception("Unexpected error while %d pictures were indexed together", len(group))
            error = InternalError()
            return [item if isinstance(item, IndexOutcome) else _failed(item.upload, error) for item in group]

    async def _index(self, group: Sequence[_Arrived | IndexOutcome]) -> Sequence[IndexOutcome]:
        arrived = [item for item in group if isinstance(item, _Arrived)]
        try:
            async with self.locks.hold(item.id for item in arrived):
                outcomes = await self._index_arrived(arrived)
        except LookalikeError as error:
            outcomes = {item.id: _failed(item.upload, error) for item in arrived}
        return [item if isinstance(item, IndexOutcome) else outcomes[item.id] for item in group]

    async def _index_arrived(self, arrived: Sequence[_Arrived]) -> dict[ImageId, IndexOutcome]:
        try:
            known = await self.repository.get([item.id for item in arrived])
        except RepositoryUnavailableError:
            # An embedded index may be unable to answer on a full disk. Then the lack of room is what to report.
            await self.store.require_room(sum(len(item.content) for item in arrived))
            raise
        sizes = await self.store.sizes(known) if known else {}
        settled = await all_of(  # waits for all, so that none works on without the locks
            self._already_there(item, known[item.id], sizes[item.id]) if item.id in known else self._prepare(item)
            for item in arrived
        )
        outcomes = {
            item.id: result for item, result in zip(arrived, settled, strict=True) if isinstance(result, IndexOutcome)
        }
        prepared = [result for result in settled if isinstance(result, _Prepared)]
        try:
            committed = await self._commit(prepared)
        except LookalikeError as error:
            return outcomes | {item.record.id: _failed(item.upload, error) for item in prepared}
        return outcomes | {
            record.id: IndexOutcome(filename=record.filename, status="created", image=record) for record in committed
        }

    async def _already_there(self, item: _Arrived, record: ImageRecord, sizes: FileSizes) -> IndexOutcome:
        metadata = item.upload.metadata
        try:
            if sizes.original != len(item.content) or not sizes.thumbnail:
                await self._put_back(item)
            if metadata is not None and metadata != record.metadata:
                raise_if_over()
                await committed(self.repository.set_metadata(record.id, metadata))
                record = replace(record, metadata=metadata)
        except LookalikeError as error:
            return _failed(item.upload, error)
        return IndexOutcome(filename=item.upload.filename, status="exists", image=record)

    async def _put_back(self, item: _Arrived) -> None:
        """Store the files of an image that is indexed but lacks some of them."""
        async with self._decoded(item) as picture:
            thumbnail = await self.thumbnails.render(picture.raster)

        async def put() -> None:
            await self.store.put(item.id, original=item.content, thumbnail=thumbnail)
            if not await self.repository.get([item.id]):  # others have deleted it meanwhile
                await self.store.delete(item.id)

        async with self.store.changing([item.id]):
            await committed(put())

    async def _prepare(self, item: _Arrived) -> _Prepared | IndexOutcome:
        """Everything of one picture, one step after the other: the pixels are held no longer than it takes."""
        try:
            async with self._decoded(item) as picture:
                thumbnail = await self.thumbnails.render(picture.raster)
                description = await self.describe(picture.raster)
        except LookalikeError as error:
            return _failed(item.upload, error)
        record = ImageRecord(
            id=item.id,
            filename=item.upload.filename,
            media_type=picture.media_type,
            width=picture.raster.width,
            height=picture.raster.height,
            size_bytes=len(item.content),
            sha256=item.hash.sha256,
            created_at=item.at,
            metadata=item.upload.metadata or {},
            objects=description.objects,
            detection=self.describe.detection,
        )
        image = IndexedImage(
            record=record, embedding=description.embedding, object_embeddings=description.object_embeddings
        )
        return _Prepared(upload=item.upload, image=image, content=item.content, thumbnail=thumbnail)

    def _decoded(self, item: _Arrived) -> AbstractAsyncContextManager[DecodedImage]:
        return self.decoder.decoded(item.content, sufficient_side=self.describe.sufficient_side)

    async def _commit(self, prepared: Sequence[_Prepared]) -> Sequence[ImageRecord]:
        if not prepared:
            return ()
        raise_if_over()
        async with self.store.changing([item.record.id for item in prepared]):
            full = await committed(self._write(prepared))  # so that no file is left without a record
        if full is not None:
            raise full
        return [item.record for item in prepared]

    async def _write(self, prepared: Sequence[_Prepared]) -> StorageFullError | None:
        """Files, then records. Where there is no room, nothing is left behind and the error is returned.

        Any other error may have come before or after the records were written, which is settled at the next start.
        """
        try:
            await all_of(
                self.store.put(item.record.id, original=item.content, thumbnail=item.thumbnail) for item in prepared
            )
            await self.repository.upsert([item.image for item in prepared])
        except StorageFullError as error:
            recorded = await self.repository.get([item.record.id for item in prepared])
            await asyncio.gather(
                *(self.store.delete(item.record.id) for item in prepared if item.record.id not in recorded)
            )
            return error
        return None


def _failed(upload: Upload, error: LookalikeError) -> IndexOutcome:
    """The outcome, without the frames that the error came through: outcomes are kept, and the frames hold pixels."""
    reason: BaseException | None = error
    while reason is not None:
        reason.__traceback__ = None
        reason = reason.__cause__ or reason.__context__
    return IndexOutcome(filename=upload.filename, status="failed", error=error)
