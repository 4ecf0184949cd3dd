"""Take pictures into the index."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from application.begun_work import all_of, committed
from application.keyed_locks import KeyedLocks
from application.prepare_pictures import Arrived, Prepared, PreparePictures, Upload, annotated
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
from domain.exif import chosen_exif
from domain.images import Clock, ImageId, ImageRecord, id_of_content, sha256_of
from domain.metadata import MetadataTypes, check_types
from domain.names import id_of_key
from domain.ports.similarity_repository import SimilarityRepository

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
class IndexOutcome:
    """What became of one upload: `image` unless it failed, then `error`."""

    upload: Upload
    status: Literal["created", "exists", "replaced", "failed"]
    image: ImageRecord | None = None
    error: LookalikeError | None = None

    @classmethod
    def of(cls, stored: Prepared) -> "IndexOutcome":
        """Of a picture that was stored."""
        status: Literal["created", "exists", "replaced"] = "created"
        if stored.before is not None:
            status = "replaced" if stored.before.sha256 != stored.record.sha256 else "exists"
        return cls(upload=stored.arrived.upload, status=status, image=stored.record)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexImages:
    """Decode, detect, encode, store and index pictures; the record is written last and commits the picture.

    A picture is what stands under a key, or without one under its bytes. Sending it again changes nothing but what is
    given with it, and puts back stored files that were lost. Bytes that are indexed under another name share their
    original, and are neither decoded nor encoded again.
    """

    prepare: PreparePictures
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

    async def _groups(self, uploads: Iterable[Upload]) -> AsyncIterator[list[Arrived | IndexOutcome]]:
        """Uploads as they arrive, a bounded number of pictures and bytes together.

        No key and no bytes come twice in one group: the second finds what the first has stored.
        """
        group: list[Arrived | IndexOutcome] = []
        ids: set[ImageId] = set()
        held = 0
        by_key: dict[str, str] = {}
        for upload in uploads:
            arrived = await self._arrive(upload)
            if isinstance(arrived, Arrived) and (key := upload.key) is not None:
                is_repeated = by_key.setdefault(key, arrived.sha256) != arrived.sha256
                arrived = _failed(upload, KeyRepeatedError(key)) if is_repeated else arrived
            twin = isinstance(arrived, Arrived) and not ids.isdisjoint(arrived.ids)
            if group and (twin or len(group) == GROUP_SIZE or held > GROUP_BYTES):
                yield group
                group, ids, held = [], set(), 0
            group.append(arrived)
            if isinstance(arrived, Arrived):
                ids |= arrived.ids
                held += len(arrived.content)
        if group:
            yield group

    async def _arrive(self, upload: Upload) -> Arrived | IndexOutcome:
        try:
            check_types(upload.metadata or {}, self.types)
            content = await upload.read()
        except LookalikeError as error:
            return _failed(upload, error)
        sha256 = await asyncio.to_thread(sha256_of, content)
        content_id = id_of_content(sha256)
        return Arrived(
            upload=upload,
            content=content,
            sha256=sha256,
            at=self.clock.now(),
            content_id=content_id,
            id=content_id if upload.key is None else id_of_key(upload.key),
        )

    async def _index_in_bulk(
        self, group: Sequence[Arrived | IndexOutcome], if_exists: IfExists
    ) -> Sequence[IndexOutcome]:
        begin_bulk()
        try:
            return await self._index(group, if_exists)
        except Exception:
            log.exception("Unexpected error while %d pictures were indexed together", len(group))
            error = InternalError()
            return [item if isinstance(item, IndexOutcome) else _failed(item.upload, error) for item in group]

    async def _index(self, group: Sequence[Arrived | IndexOutcome], if_exists: IfExists) -> Sequence[IndexOutcome]:
        arrived = [item for item in group if isinstance(item, Arrived)]
        try:
            async with self.locks.hold(id_ for item in arrived for id_ in item.ids):
                outcomes = await self._index_arrived(arrived, if_exists)
        except LookalikeError as error:
            outcomes = {item.id: _failed(item.upload, error) for item in arrived}
        return [item if isinstance(item, IndexOutcome) else outcomes[item.id] for item in group]

    async def _index_arrived(self, arrived: Sequence[Arrived], if_exists: IfExists) -> dict[ImageId, IndexOutcome]:
        try:
            known = await self.repository.get({id_ for item in arrived for id_ in item.ids})
            twins = await self.repository.named([item.sha256 for item in arrived if item.id not in known])
        except RepositoryUnavailableError:
            # An embedded index may be unable to answer on a full disk. Then the lack of room is what to report.
            await self.originals.store.require_room(sum(len(item.content) for item in arrived))
            raise

        async def looked_at(item: Arrived) -> Prepared | IndexOutcome:
            try:
                if item.upload.exif:
                    found = await self.prepare.decoder.exif(item.content)
                    item = replace(item, exif=chosen_exif(found, item.upload.exif, self.types))
                if (record := known.get(item.id)) is not None:
                    if if_exists is IfExists.FAIL:
                        raise ImageExistsError(record.key or record.id)
                    if if_exists is IfExists.KEEP or record.sha256 == item.sha256:
                        outcome = await self._already_there(item, record, if_exists)
                        if item.upload.adopt and _is_adopted(record, known.get(item.content_id)):
                            # A crash left the image without a key beside the one that was made of it.
                            await committed(self.repository.delete([item.content_id]))
                        return outcome
                elif item.upload.adopt:
                    record = known.get(item.content_id)
                return await self.prepare(item, record, is_stored=item.sha256 in twins)
            except LookalikeError as error:
                return _failed(item.upload, error)

        results = await all_of(map(looked_at, arrived))  # waits for all, so that none works on without the locks
        prepared = [result for result in results if isinstance(result, Prepared)]
        try:
            await self._commit(prepared)
            outcomes = {item.record.id: IndexOutcome.of(item) for item in prepared}
        except LookalikeError as error:
            outcomes = {item.record.id: _failed(item.arrived.upload, error) for item in prepared}
        return outcomes | {
            item.id: result for item, result in zip(arrived, results, strict=True) if isinstance(result, IndexOutcome)
        }

    async def _already_there(self, item: Arrived, record: ImageRecord, if_exists: IfExists) -> IndexOutcome:
        """What is given anew of an image that is there with these bytes, or that is to be kept as it is."""
        if record.sha256 == item.sha256:
            await self.originals.confirm({item.sha256: item.content})
        changed = record if if_exists is IfExists.KEEP else annotated(record, item)
        if changed != record:
            changed = replace(changed, updated_at=item.at)
            raise_if_over()
            await committed(self.repository.update([changed]))
        return IndexOutcome(upload=item.upload, status="exists", image=changed)

    async def _commit(self, prepared: Sequence[Prepared]) -> None:
        if not prepared:
            return
        raise_if_over()
        full = await committed(self._write(prepared))  # so that no file is left without a record
        if full is not None:
            raise full

    async def _write(self, prepared: Sequence[Prepared]) -> StorageFullError | None:
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
        if adopted := {record.id: record for record in replaced if record.id not in written}:
            now = await self.repository.get(adopted)
            # What others have changed meanwhile stays there, without a key.
            await self.repository.delete([id_ for id_, record in now.items() if record == adopted[id_]])
        await self.originals.purge({record.sha256 for record in replaced} - {item.record.sha256 for item in prepared})
        return None


def _is_adopted(record: ImageRecord, unnamed: ImageRecord | None) -> bool:
    """Whether `record` was made of an image that had no key, and is there still."""
    return record.key is not None and unnamed is not None and unnamed.created_at == record.created_at


def _failed(upload: Upload, error: LookalikeError) -> IndexOutcome:
    """The outcome, without the frames that the error came through: outcomes are kept, and the frames hold pixels."""
    reason: BaseException | None = error
    while reason is not None:
        reason.__traceback__ = None
        reason = reason.__cause__ or reason.__context__
    return IndexOutcome(upload=upload, status="failed", error=error)
