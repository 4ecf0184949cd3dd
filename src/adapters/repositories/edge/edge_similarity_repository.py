"""The embedded index: Qdrant's engine, reached over a pipe."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np

from adapters.repositories.edge.directory_lock import DirectoryLock
from adapters.repositories.edge.manifest import Manifest, ShardEntry, free_shard_name, no_index, unusable, way_out
from adapters.repositories.edge.owner_process import OwnerProcess
from adapters.repositories.edge.records import ImageHit, StoredImage, read_each
from adapters.repositories.edge.requests import (
    Change,
    Count,
    CountLabels,
    Delete,
    Describe,
    Failure,
    FindOrphans,
    Get,
    GetObjectVectors,
    GetVectors,
    Nearest,
    NearestObjects,
    Newest,
    SetMetadata,
    SweepObjects,
    Write,
)
from adapters.repositories.edge.upserts import upserts_of
from adapters.repositories.edge.write_queue import WriteQueue
from adapters.repositories.embedding_checks import check_window, checked_embedding
from adapters.repositories.keyset_page import keyset_page
from adapters.repositories.payload import payload_indexes
from domain.callers import raise_if_over
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import ConfigurationError, EmbeddingSpaceError, IndexDamagedError, RepositoryUnavailableError
from domain.filters import EVERYTHING, Filter
from domain.images import Cursor, ImageId, ImagePage, ImageRecord, IndexedImage, LabelCounts, Match
from domain.metadata import Metadata, MetadataType
from domain.models import RepositoryStatus
from domain.ports.similarity_repository import SimilarityRepository

RESERVE_BYTES = 512 * 1024 * 1024
"""Room for what the engine writes besides the points: its log, and a copy of each segment that it optimizes."""

TIMEOUT_SECONDS = 60.0
"""Far above what a request may wait for an optimization, of which one took 18 s beside two other busy processes on two
cores: an owner that answers nobody for ten times as long hangs, and is replaced."""

OBJECTS_AT_ONCE = 2_000
"""So many are compared with their images between two other requests."""


class QdrantEdgeSimilarityRepository(SimilarityRepository):
    """An index in a directory of this machine, for one process at a time.

    `indexed_metadata` names the metadata keys whose filters shall be fast. Below `reserve_bytes` of free disk space
    nothing is stored any more. See docs/adr for why the engine runs in a process of its own.
    """

    def __init__(
        self,
        directory: Path,
        *,
        indexed_metadata: Mapping[str, MetadataType] | None = None,
        reserve_bytes: int = RESERVE_BYTES,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._directory = directory
        self._indexed_metadata = dict(indexed_metadata or {})
        self._reserve_bytes = reserve_bytes
        self._timeout_seconds = timeout_seconds
        self._lock: DirectoryLock | None = None
        self._entry: ShardEntry | None = None
        self._owner: OwnerProcess | None = None
        self._writes: WriteQueue | None = None

    async def open(self, space: EmbeddingSpace | None) -> None:
        """See the port."""
        if self._owner is not None:
            raise ConfigurationError(f"The index in {self._directory} is open already.")
        try:
            await self._open(space)
        except OSError as error:
            await self.close()
            raise ConfigurationError(unusable(self._directory, error)) from error
        except BaseException:
            await self.close()
            raise

    async def _open(self, space: EmbeddingSpace | None) -> None:
        if space is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
        elif not self._directory.is_dir():
            raise no_index(self._directory)
        self._lock = DirectoryLock(self._directory)
        manifest = await asyncio.to_thread(Manifest.read, self._directory)
        if manifest is not None:
            await asyncio.to_thread(manifest.remove_leftovers, self._directory)
        if manifest is not None and manifest.current is not None:
            if space is not None and manifest.current.space != space:
                raise EmbeddingSpaceError(
                    f"The index in {self._directory} was built with another encoder: "
                    f"{manifest.current.space.differences(space)}. Run `lookalike reindex --embeddings` to encode the "
                    "stored originals anew, or set the encoder back."
                )
            await self._load(manifest.current)
        elif space is not None:
            # Shards beside a manifest that does not name them are leftovers; without a manifest they are a damage.
            await asyncio.to_thread(Manifest().write, self._directory)
            await self._create(space)
            await asyncio.to_thread(Manifest(current=self._entry).write, self._directory)
        else:
            raise no_index(self._directory)

    async def close(self) -> None:
        """See the port."""
        if self._writes is not None:
            await self._writes.finish()
        owner, self._owner = self._owner, None
        self._writes = None
        if owner is not None:
            await owner.stop()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def space(self) -> EmbeddingSpace:
        """See the port."""
        if self._entry is None:
            raise self._closed()
        return self._entry.space

    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        """See the port."""
        raise_if_over()
        for upsert in await asyncio.to_thread(upserts_of, images, self.space):
            await self._write(upsert)

    async def set_metadata(self, id_: ImageId, metadata: Metadata) -> None:
        """See the port."""
        raise_if_over()
        await self._write(SetMetadata(id_, dict(metadata)))

    async def delete(self, ids: Collection[ImageId]) -> None:
        """See the port."""
        raise_if_over()
        if ids:
            await self._write(Delete(list(ids)))

    async def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        """See the port."""
        raise_if_over()
        found: list[StoredImage] = await self._opened.ask(Get(list(ids))) if ids else []
        return {record.id: record for record in await read_each(StoredImage.record, found)}

    async def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        """See the port."""
        raise_if_over()
        found: dict[ImageId, bytes] = await self._opened.ask(GetVectors(list(ids))) if ids else {}
        return {id_: np.frombuffer(vector, dtype=np.float32) for id_, vector in found.items()}

    async def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings]:
        """See the port."""
        raise_if_over()
        found: dict[ImageId, bytes] = await self._opened.ask(GetObjectVectors(list(ids))) if ids else {}
        shape = (-1, self.space.dimension)
        return {id_: np.frombuffer(vectors, dtype=np.float32).reshape(shape) for id_, vectors in found.items()}

    async def list(self, *, limit: int, after: Cursor | None = None, where: Filter = EVERYTHING) -> ImagePage:
        """See the port."""
        raise_if_over()
        items, next_cursor = await keyset_page(self._newest, limit=limit, after=after, where=where)
        return ImagePage(items=items, next_cursor=next_cursor, total=await self.count(where))

    async def nearest(
        self,
        query: Embedding,
        *,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        where: Filter = EVERYTHING,
        leave_out: Collection[ImageId] = (),
        exact: bool = False,
    ) -> Sequence[Match]:
        """See the port."""
        search = self._search(query, limit, offset, score_threshold, where, leave_out, exact)
        hits: list[ImageHit] = await self._opened.ask(search)
        return await read_each(ImageHit.match, hits)

    async def nearest_objects(
        self,
        query: Embedding,
        *,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        where: Filter = EVERYTHING,
        leave_out: Collection[ImageId] = (),
        exact: bool = False,
    ) -> Sequence[Match]:
        """See the port."""
        search = self._search(query, limit, offset, score_threshold, where, leave_out, exact)
        hits: list[ImageHit] = await self._opened.ask(NearestObjects(search))
        return await read_each(ImageHit.match, hits)

    def _search(  # noqa: PLR0917 - the parameters of both searches, in their order
        self,
        query: Embedding,
        limit: int,
        offset: int,
        score_threshold: float | None,
        where: Filter,
        leave_out: Collection[ImageId],
        exact: bool,
    ) -> Nearest:
        raise_if_over()
        check_window(limit, offset)
        return Nearest(
            vector=checked_embedding(query, self.space, of="the query").tobytes(),
            limit=limit,
            offset=offset,
            score_threshold=score_threshold,
            where=where,
            leave_out=frozenset(leave_out),
            exact=exact,
        )

    async def count(self, where: Filter = EVERYTHING) -> int:
        """See the port."""
        raise_if_over()
        return int(await self._opened.ask(Count(where)))

    async def label_counts(self, where: Filter = EVERYTHING) -> LabelCounts:
        """See the port."""
        raise_if_over()
        counts: dict[str, int] = await self._opened.ask(CountLabels(where))
        return counts

    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        """See the port."""
        orphans: Counter[ImageId] = Counter()
        found, after = await self._orphans(None)
        orphans.update(found)
        while after is not None:
            found, after = await self._orphans(after)
            orphans.update(found)
        return orphans

    async def _orphans(self, after: UUID | None) -> tuple[dict[ImageId, int], UUID | None]:
        raise_if_over()
        found: tuple[dict[ImageId, int], UUID | None] = await self._opened.ask(FindOrphans(after, OBJECTS_AT_ONCE))
        return found

    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        """See the port."""
        raise_if_over()
        return int(await self._opened.ask(SweepObjects(list(ids)))) if ids else 0

    async def status(self) -> RepositoryStatus:
        """See the port."""
        raise_if_over()
        owner = self._opened
        figures: dict[str, int | float] = await owner.ask(Describe())
        images, objects = int(figures.pop("images")), int(figures.pop("objects"))
        details = {
            **figures,
            "longest_wait_seconds": round(owner.longest_wait_seconds, 3),
            "owner_pid": owner.pid or 0,
            "owner_restarts": owner.restarts,
        }
        return RepositoryStatus(backend="edge", images=images, objects=objects, details=details)

    async def replacement(self, space: EmbeddingSpace) -> SimilarityRepository:
        """See the port."""
        raise_if_over()
        current = self._opened_entry()
        manifest = await asyncio.to_thread(Manifest.read, self._directory)
        under_construction = None if manifest is None else manifest.replacement
        new = QdrantEdgeSimilarityRepository(
            self._directory,
            indexed_metadata=self._indexed_metadata,
            reserve_bytes=self._reserve_bytes,
            timeout_seconds=self._timeout_seconds,
        )
        if under_construction is not None and under_construction.space == space:
            await new._load(under_construction)
            return new
        given_up = Manifest(current=current)
        await asyncio.to_thread(given_up.write, self._directory)
        await asyncio.to_thread(given_up.remove_leftovers, self._directory)
        await new._create(space)
        await asyncio.to_thread(replace(given_up, replacement=new._entry).write, self._directory)
        return new

    async def promote(self, replacement: SimilarityRepository) -> None:
        """See the port."""
        if not isinstance(replacement, QdrantEdgeSimilarityRepository) or replacement._directory != self._directory:
            raise ValueError("Only what `replacement` of the same repository gave can be promoted.")
        self._opened_entry()
        await replacement.close()
        lock, self._lock = self._lock, None  # held until the directory is in order
        await self.close()
        promoted = Manifest(current=replacement._entry)
        try:
            await asyncio.to_thread(promoted.write, self._directory)
            await asyncio.to_thread(promoted.remove_leftovers, self._directory)
        finally:
            if lock is not None:
                lock.release()

    async def _load(self, entry: ShardEntry) -> None:
        directory = self._directory / entry.directory
        if not directory.is_dir():
            raise IndexDamagedError(f"The index's shard {directory} is missing. {way_out(self._directory)}")
        await self._start(entry)

    async def _create(self, space: EmbeddingSpace) -> None:
        entry = ShardEntry(free_shard_name(self._directory, space), space)
        await self._start(entry, create=True)

    async def _start(self, entry: ShardEntry, *, create: bool = False) -> None:
        owner = OwnerProcess(
            self._directory / entry.directory,
            dimension=entry.space.dimension,
            indexes=payload_indexes(self._indexed_metadata),
            reserve_bytes=self._reserve_bytes,
            timeout_seconds=self._timeout_seconds,
        )
        await owner.start(create=create)
        self._entry, self._owner = entry, owner

        async def commit(changes: Sequence[Change]) -> Sequence[Failure | None]:
            outcomes: list[Failure | None] = await owner.ask(Write(changes))
            return outcomes

        self._writes = WriteQueue(commit)

    async def _write(self, change: Change) -> None:
        if self._writes is None:
            raise self._closed()
        await self._writes.put(change)

    async def _newest(self, where: Filter, limit: int) -> Sequence[ImageRecord]:
        found: list[StoredImage] = await self._opened.ask(Newest(where, limit))
        return await read_each(StoredImage.record, found)

    @property
    def _opened(self) -> OwnerProcess:
        if self._owner is None:
            raise self._closed()
        return self._owner

    def _opened_entry(self) -> ShardEntry:
        if self._entry is None or self._owner is None:
            raise self._closed()
        return self._entry

    def _closed(self) -> RepositoryUnavailableError:
        return RepositoryUnavailableError(f"The index in {self._directory} is not open.")
