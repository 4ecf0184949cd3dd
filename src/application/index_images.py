"""Take pictures into the index."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from application.begun_work import all_of, committed
from application.describe_pictures import DescribePictures
from application.keyed_locks import KeyedLocks
from application.shared_originals import SharedOriginals
from domain.callers import begin_bulk, raise_if_over
from domain.errors import (
    ImageExistsError,
    InternalError,
    KeyRepeatedError,
    LookalikeError,
    RepositoryUnavailableError,
    StorageFullError,
)
from domain.filters import AnyOf, Field, Filter
from domain.images import Clock, ImageId, ImageRecord, IndexedImage, id_of_content, sha256_of
from domain.metadata import Metadata, MetadataTypes, check_types
from domain.names import id_of_key
from domain.ports.image_decoder import DecodedImage, ImageDecoder
from domain.ports.similarity_repository import SimilarityRepository
from domain.ports.thumbnail_renderer import DEFAULT_THUMBNAIL_SIDE, ThumbnailRenderer

log = logging.getLogger(__name__)

GROUP_SIZE = 16
"""Pictures that are committed together: enough to share the cost of making them durable."""

GROUP_BYTES = 32 * 1024 * 1024
"""A group of large files is full sooner, since their bytes are held in memory."""

GROUPS_AT_ONCE = 3
"""While one group is stored, the next keeps the models busy, and one more is being decoded."""


class IfExists(StrEnum):
    """What to do where an image is there under the key, or without a key, with the same bytes."""

    REPLACE = "replace"
    """Other bytes take its place; metadata and source are replaced where they are given."""
    KEEP = "keep"
    FAIL = "fail"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOutcome:
    """What became of one upload: `image` unless it failed, then `error`."""

    upload: Upload
    status: Literal["created", "exists", "replaced", "failed"]
    image: ImageRecord | None = None
    error: LookalikeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """An upload whose bytes are here."""

    upload: Upload
    content: bytes
    sha256: str
    at: datetime
    content_id: ImageId
    id: ImageId

    @property
    def ids(self) -> frozenset[ImageId]:
        """What may change with it: its own image, and one of the same bytes without a key."""
        return frozenset((self.id, self.content_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """An upload with all that is to be stored of it."""

    arrived: _Arrived
    image: IndexedImage
    thumbnails: Mapping[int, bytes] = field(default_factory=dict)
    """None of a picture whose bytes are stored already."""
    before: ImageRecord | None = None
    """What it replaces: the image of its id, or one of the same bytes that gets the key."""

    @property
    def record(self) -> ImageRecord:
        return self.image.record

    @property
    def outcome(self) -> IndexOutcome:
        status: Literal["created", "exists", "replaced"] = "created"
        if self.before is not None:
            status = "replaced" if self.before.sha256 != self.record.sha256 else "exists"
        return IndexOutcome(upload=self.arrived.upload, status=status, image=self.record)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexImages:
    """Decode, detect, encode, store and index pictures; the record is written last and commits the picture.

    A picture is what stands under a key, or without one under its bytes. Sending it again changes nothing but what is
    given with it, and puts back stored files that were lost. Bytes that are indexed under another name share their
    original, and are neither decoded nor encoded again.
    """

    decoder: ImageDecoder
    describe: DescribePictures
    thumbnails: ThumbnailRenderer
    originals: SharedOriginals
    repository: SimilarityRepository
    clock: Clock
    locks: KeyedLocks
    types: MetadataTypes
    """What metadata keys take: other values fail the picture that they come with."""

    async def one(self, upload: Upload, *, if_exists: IfExists = IfExists.REPLACE) -> IndexOutcome:
        """Index one picture. Raises what the failure was."""
        [outcome] = await self._index([await self._arrive(upload)], if_exists)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def __call__(
        self, uploads: Iterable[Upload], *, if_exists: IfExists = IfExists.REPLACE
    ) -> AsyncIterator[IndexOutcome]:
        """Index pictures, and yield one outcome for each in the order given; no failure stops the rest.

        Of two with one key and other bytes the second fails. An error without a name fails the pictures that are
        committed together with InternalError, and is logged.
        It is bulk work: callers who wait for one answer go first. Several groups are under way at once, so that every
        stage has work. A caller that stops early leaves each of them committed or not, as after a crash.
        """
        under_way: deque[asyncio.Task[Sequence[IndexOutcome]]] = deque()
        try:
            async for group in self._groups(uploads):
                under_way.append(asyncio.create_task(self._index_in_bulk(group, if_exists)))
                if len(under_way) == GROUPS_AT_ONCE:
                    for outcome in await under_way.popleft():
                        yield outcome
            while under_way:
                for outcome in await under_way.popleft():
                    yield outcome
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _groups(self, uploads: Iterable[Upload]) -> AsyncIterator[list[_Arrived | IndexOutcome]]:
        """Uploads as they arrive, a bounded number of pictures and bytes together.

        No key and no bytes come twice in one group: the second finds what the first has stored.
        """
        group: list[_Arrived | IndexOutcome] = []
        ids: set[ImageId] = set()
        held = 0
        by_key: dict[str, str] = {}
        for upload in uploads:
            arrived = await self._arrive(upload)
            if isinstance(arrived, _Arrived) and (key := upload.key) is not None:
                is_repeated = by_key.setdefault(key, arrived.sha256) != arrived.sha256
                arrived = _failed(upload, KeyRepeatedError(key)) if is_repeated else arrived
            twin = isinstance(arrived, _Arrived) and not ids.isdisjoint(arrived.ids)
            if group and (twin or len(group) == GROUP_SIZE or held > GROUP_BYTES):
                yield group
                group, ids, held = [], set(), 0
            group.append(arrived)
            if isinstance(arrived, _Arrived):
                ids |= arrived.ids
                held += len(arrived.content)
        if group:
            yield group

    async def _arrive(self, upload: Upload) -> _Arrived | IndexOutcome:
        try:
            check_types(upload.metadata or {}, self.types)
            content = await upload.read()
        except LookalikeError as error:
            return _failed(upload, error)
        sha256 = await asyncio.to_thread(sha256_of, content)
        content_id = id_of_content(sha256)
        return _Arrived(
            upload=upload,
            content=content,
            sha256=sha256,
            at=self.clock.now(),
            content_id=content_id,
            id=content_id if upload.key is None else id_of_key(upload.key),
        )

    async def _index_in_bulk(
        self, group: Sequence[_Arrived | IndexOutcome], if_exists: IfExists
    ) -> Sequence[IndexOutcome]:
        begin_bulk()
        try:
            return await self._index(group, if_exists)
        except Exception:
            log.exception("Unexpected error while %d pictures were indexed together", len(group))
            error = InternalError()
            return [item if isinstance(item, IndexOutcome) else _failed(item.upload, error) for item in group]

    async def _index(self, group: Sequence[_Arrived | IndexOutcome], if_exists: IfExists) -> Sequence[IndexOutcome]:
        arrived = [item for item in group if isinstance(item, _Arrived)]
        try:
            async with self.locks.hold(id_ for item in arrived for id_ in item.ids):
                outcomes = await self._index_arrived(arrived, if_exists)
        except LookalikeError as error:
            outcomes = {item.id: _failed(item.upload, error) for item in arrived}
        return [item if isinstance(item, IndexOutcome) else outcomes[item.id] for item in group]

    async def _index_arrived(self, arrived: Sequence[_Arrived], if_exists: IfExists) -> dict[ImageId, IndexOutcome]:
        try:
            known = await self.repository.get({id_ for item in arrived for id_ in item.ids})
            twins = await self.repository.named([item.sha256 for item in arrived if item.id not in known])
        except RepositoryUnavailableError:
            # An embedded index may be unable to answer on a full disk. Then the lack of room is what to report.
            await self.originals.store.require_room(sum(len(item.content) for item in arrived))
            raise

        async def settled(item: _Arrived) -> _Prepared | IndexOutcome:
            try:
                if (record := known.get(item.id)) is not None:
                    if if_exists is IfExists.FAIL:
                        raise ImageExistsError(record.key or record.id)
                    if if_exists is IfExists.KEEP or record.sha256 == item.sha256:
                        outcome = await self._already_there(item, record, if_exists)
                        if item.upload.adopt and _is_adopted(record, known.get(item.content_id)):  # but for a crash
                            await committed(self.repository.delete([item.content_id]))
                        return outcome
                elif item.upload.adopt:
                    record = known.get(item.content_id)
                return await self._prepare(item, record, is_stored=item.sha256 in twins)
            except LookalikeError as error:
                return _failed(item.upload, error)

        results = await all_of(map(settled, arrived))  # waits for all, so that none works on without the locks
        prepared = [result for result in results if isinstance(result, _Prepared)]
        try:
            await self._commit(prepared)
            outcomes = {item.record.id: item.outcome for item in prepared}
        except LookalikeError as error:
            outcomes = {item.record.id: _failed(item.arrived.upload, error) for item in prepared}
        return outcomes | {
            item.id: result for item, result in zip(arrived, results, strict=True) if isinstance(result, IndexOutcome)
        }

    async def _already_there(self, item: _Arrived, record: ImageRecord, if_exists: IfExists) -> IndexOutcome:
        """What is given anew of an image that is there with these bytes, or that is to be kept as it is."""
        if record.sha256 == item.sha256:
            await self.originals.confirm({item.sha256: item.content})
        changed = record if if_exists is IfExists.KEEP else _annotated(record, item.upload)
        if changed != record:
            changed = replace(changed, updated_at=item.at)
            raise_if_over()
            await committed(self.repository.update([changed]))
        return IndexOutcome(upload=item.upload, status="exists", image=changed)

    async def _prepare(self, item: _Arrived, before: ImageRecord | None, *, is_stored: bool) -> _Prepared:
        """Everything of one picture that is to be stored, in the place of `before` if that is given."""
        if is_stored and (shared := await self._shared(item, before)) is not None:
            return shared
        # One step after the other: the pixels are held no longer than it takes.
        async with self._decoded(item) as picture:
            thumbnail = await self.thumbnails.render(picture.raster, DEFAULT_THUMBNAIL_SIDE)
            description = await self.describe(picture.raster)
        record = self._record(
            item,
            before,
            media_type=picture.media_type,
            width=picture.raster.width,
            height=picture.raster.height,
            objects=description.objects,
        )
        image = IndexedImage(
            record=record, embedding=description.embedding, object_embeddings=description.object_embeddings
        )
        return _Prepared(arrived=item, image=image, thumbnails={DEFAULT_THUMBNAIL_SIDE: thumbnail}, before=before)

    async def _shared(self, item: _Arrived, before: ImageRecord | None) -> _Prepared | None:
        """By what is indexed of the same bytes under another name; None where that does not suffice."""
        same = Filter(all=(AnyOf(Field("sha256"), (item.sha256,)),))
        for twin in (await self.repository.list(limit=1, where=same)).items:
            embedding = (await self.repository.embeddings([twin.id])).get(twin.id)
            objects = (await self.repository.object_embeddings([twin.id])).get(twin.id)
            if embedding is not None and objects is not None and twin.detection == self.describe.detection:
                record = self._record(
                    item,
                    before,
                    media_type=twin.media_type,
                    width=twin.width,
                    height=twin.height,
                    objects=twin.objects,
                )
                image = IndexedImage(record=record, embedding=embedding, object_embeddings=objects)
                return _Prepared(arrived=item, image=image, before=before)
        return None

    def _record(self, item: _Arrived, before: ImageRecord | None, **found: Any) -> ImageRecord:  # noqa: ANN401
        record = ImageRecord(
            id=item.id,
            key=item.upload.key,
            filename=item.upload.filename,
            size_bytes=len(item.content),
            sha256=item.sha256,
            created_at=item.at if before is None else before.created_at,
            updated_at=item.at,
            source=None if before is None else before.source,
            metadata={} if before is None else before.metadata,
            detection=self.describe.detection,
            **found,
        )
        return _annotated(record, item.upload)

    def _decoded(self, item: _Arrived) -> AbstractAsyncContextManager[DecodedImage]:
        return self.decoder.decoded(item.content, sufficient_side=self.describe.sufficient_side)

    async def _commit(self, prepared: Sequence[_Prepared]) -> None:
        if not prepared:
            return
        raise_if_over()
        full = await committed(self._write(prepared))  # so that no file is left without a record
        if full is not None:
            raise full

    async def _write(self, prepared: Sequence[_Prepared]) -> StorageFullError | None:
        """Files, then records; then what they replace goes. Without room nothing is left, and the error is returned."""
        try:
            await all_of(
                self.originals.store.put(item.record.sha256, original=item.arrived.content, thumbnails=item.thumbnails)
                for item in prepared
            )
            await self.repository.upsert([item.image for item in prepared])
        except StorageFullError as error:
            await self.originals.purge({item.record.sha256 for item in prepared})
            return error
        await self.originals.confirm({item.record.sha256: item.arrived.content for item in prepared})
        replaced = [item.before for item in prepared if item.before is not None]
        written = {item.record.id for item in prepared}
        if adopted := {record.id for record in replaced} - written:
            await self.repository.delete(adopted)
        await self.originals.purge({record.sha256 for record in replaced} - {item.record.sha256 for item in prepared})
        return None


def _is_adopted(record: ImageRecord, unnamed: ImageRecord | None) -> bool:
    """Whether `record` was made of an image that had no key, and is there still."""
    return record.key is not None and unnamed is not None and unnamed.created_at == record.created_at


def _annotated(record: ImageRecord, upload: Upload) -> ImageRecord:
    """With the source and the metadata that are given."""
    return replace(
        record,
        source=record.source if upload.source is None else upload.source,
        metadata=record.metadata if upload.metadata is None else upload.metadata,
    )


def _failed(upload: Upload, error: LookalikeError) -> IndexOutcome:
    """The outcome, without the frames that the error came through: outcomes are kept, and the frames hold pixels."""
    reason: BaseException | None = error
    while reason is not None:
        reason.__traceback__ = None
        reason = reason.__cause__ or reason.__context__
    return IndexOutcome(upload=upload, status="failed", error=error)
