"""The embedded index: a directory of this machine, for one process at a time."""

import asyncio
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from typing_extensions import override

from adapters.repositories.qdrant.embedded import manifest as directories
from adapters.repositories.qdrant.embedded.manifest import Manifest, ShardEntry
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
        self._lock: BinaryIO | None = None
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
                raise directories.unusable(self._directory, error) from error
            raise

    async def _open(self, space: EmbeddingSpace | None) -> None:
        if space is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
        elif not self._directory.is_dir():
            raise directories.no_index(self._directory)
        self._lock = directories.locked(self._directory)
        manifest = await asyncio.to_thread(Manifest.read, self._directory)
        if manifest is not None:
            await asyncio.to_thread(manifest.remove_leftovers, self._directory)
        current = None if manifest is None else manifest.current
        if current is None and space is None:
            raise directories.no_index(self._directory)
        if current is None and space is not None:
            await self._create(space)
        elif current is not None:
            if space is not None and current.space != space:
                raise EmbeddingSpaceError(
                    f"The index in {self._directory} was built with another encoder: "
                    f"{current.space.differences(space)}. Run `lookalike reindex --embeddings` to encode the "
                    "stored originals anew, or set the encoder back."
                )
            await self._start(current)

    @override
    async def close(self) -> None:
        points, self._points = self._points, None
        if points is not None:
            await points.close()
        if self._lock is not None:
            self._lock.close()
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
        else:
            await new._create(space, to_replace=self._entry)
        return new

    @override
    async def promote(self, replacement: SimilarityRepository) -> None:
        if not isinstance(replacement, EmbeddedSimilarityRepository) or replacement._directory != self._directory:
            raise ValueError("Only what `replacement` of this repository returned can take its place.")
        points = self.points  # which has to be open
        await replacement.close()
        self._points = None
        await points.close()
        try:
            await asyncio.to_thread(Manifest(current=replacement._entry).write, self._directory)
        finally:
            await self.close()  # it lets the next one in when the directory is in order

    async def _create(self, space: EmbeddingSpace, *, to_replace: ShardEntry | None = None) -> None:
        """Begin a shard that is the index, or is to replace the one that is."""
        # Shards beside a manifest that does not name them are leftovers; without a manifest they are a damage.
        await asyncio.to_thread(Manifest(current=to_replace).write, self._directory)
        entry = ShardEntry(directories.free_shard_name(self._directory, space), space)
        await self._start(entry, create=True)
        manifest = Manifest(current=entry) if to_replace is None else Manifest(to_replace, replacement=entry)
        await asyncio.to_thread(manifest.write, self._directory)

    async def _start(self, entry: ShardEntry, *, create: bool = False) -> None:
        directory = self._directory / entry.directory
        if not create and not directory.is_dir():
            way_out = directories.way_out(self._directory)
            raise IndexDamagedError(f"The index's shard {directory} is missing. {way_out}")
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
