"""The embedded index: a directory of this machine, for one process at a time."""

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from typing_extensions import override

from adapters.repositories.qdrant.embedded.manifest import (
    DirectoryLock,
    Manifest,
    ShardEntry,
    free_shard_name,
    no_index,
    unusable,
    way_out,
)
from adapters.repositories.qdrant.embedded.points import EmbeddedPoints
from adapters.repositories.qdrant.embedded.process import EngineProcess
from adapters.repositories.qdrant.embedded.requests import ShardLayout
from adapters.repositories.qdrant.layout import image_vector, object_vector, payload_indexes
from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from domain.embeddings import EmbeddingSpace
from domain.errors import ConfigurationError, EmbeddingSpaceError, IndexDamagedError, RepositoryUnavailableError
from domain.metadata import MetadataType
from domain.ports.similarity_repository import SimilarityRepository

RESERVE_BYTES = 512 * 1024 * 1024
"""Room for what the engine writes besides the points: its log, and a copy of each segment that it optimizes."""

TIMEOUT_SECONDS = 60.0
"""Far above what a request may wait for an optimization, of which one took 18 s beside two other busy processes on two
cores: a process that does not answer for ten times as long hangs, and is replaced."""


class EmbeddedSimilarityRepository(QdrantSimilarityRepository):
    """An index in a directory of this machine.

    `indexed_metadata` names the metadata keys whose filters shall be fast. Below `reserve_bytes` of free disk space
    nothing is stored any more. See docs/adr for why the engine runs in a process of its own.
    """

    backend = "edge"

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
        self._points: EmbeddedPoints | None = None

    @override
    async def open(self, space: EmbeddingSpace | None) -> None:
        if self._points is not None:
            raise ConfigurationError(f"The index in {self._directory} is open already.")
        try:
            await self._open(space)
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError):
                raise ConfigurationError(unusable(self._directory, error)) from error
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
            await self._start(manifest.current)
        elif space is not None:
            # Shards beside a manifest that does not name them are leftovers; without a manifest they are a damage.
            await asyncio.to_thread(Manifest().write, self._directory)
            await self._create(space)
            await asyncio.to_thread(Manifest(current=self._entry).write, self._directory)
        else:
            raise no_index(self._directory)

    @override
    async def close(self) -> None:
        points, self._points = self._points, None
        if points is not None:
            await points.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    @override
    def space(self) -> EmbeddingSpace:
        if self._entry is None:
            raise self._closed()
        return self._entry.space

    @property
    @override
    def points(self) -> EmbeddedPoints:
        if self._points is None:
            raise self._closed()
        return self._points

    @override
    async def details(self) -> Mapping[str, str | int | float | bool]:
        process = self.points.process
        figures: Mapping[str, int | float] = await process.ask("details")
        return {
            **figures,
            "longest_wait_seconds": round(process.longest_wait_seconds, 3),
            "owner_pid": process.pid or 0,
            "owner_restarts": process.restarts,
        }

    @override
    async def replacement(self, space: EmbeddingSpace) -> "EmbeddedSimilarityRepository":
        _ = self.points  # which has to be open
        manifest = await asyncio.to_thread(Manifest.read, self._directory)
        under_construction = None if manifest is None else manifest.replacement
        new = copy.copy(self)
        new._lock = new._points = None
        if under_construction is not None and under_construction.space == space:
            await new._start(under_construction)
            return new
        given_up = Manifest(current=self._entry)
        await asyncio.to_thread(given_up.write, self._directory)
        await asyncio.to_thread(given_up.remove_leftovers, self._directory)
        await new._create(space)
        await asyncio.to_thread(replace(given_up, replacement=new._entry).write, self._directory)
        return new

    @override
    async def promote(self, replacement: SimilarityRepository) -> None:
        if not isinstance(replacement, EmbeddedSimilarityRepository) or replacement._directory != self._directory:
            raise ValueError("Only what `replacement` of this repository returned can take its place.")
        _ = self.points  # which has to be open
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

    async def _create(self, space: EmbeddingSpace) -> None:
        entry = ShardEntry(free_shard_name(self._directory, space), space)
        await self._start(entry, create=True)

    async def _start(self, entry: ShardEntry, *, create: bool = False) -> None:
        directory = self._directory / entry.directory
        if not create and not directory.is_dir():
            raise IndexDamagedError(f"The index's shard {directory} is missing. {way_out(self._directory)}")
        layout = ShardLayout(
            vectors=(image_vector(entry.space), object_vector(entry.space)),
            dimension=entry.space.dimension,
            indexes=payload_indexes(self._indexed_metadata),
            reserve_bytes=self._reserve_bytes,
        )
        process = EngineProcess(directory, layout, timeout_seconds=self._timeout_seconds)
        try:
            await process.start(create=create)
        except BaseException:
            await process.stop()
            raise
        self._entry, self._points = entry, EmbeddedPoints(process)

    def _closed(self) -> RepositoryUnavailableError:
        return RepositoryUnavailableError(f"The index in {self._directory} is not open.")
