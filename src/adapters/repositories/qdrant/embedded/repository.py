"""The embedded index: a directory of this machine, for one process at a time."""

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from typing_extensions import override

from adapters.repositories.qdrant.embedded import manifest as directories
from adapters.repositories.qdrant.embedded.manifest import Manifest, ShardEntry, ShardLayout
from adapters.repositories.qdrant.embedded.points import EmbeddedPoints
from adapters.repositories.qdrant.embedded.process import EngineProcess
from adapters.repositories.qdrant.layout import payload_indexes, vector_names
from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from domain.embeddings import EmbeddingSpace
from domain.errors import ConfigurationError, RepositoryUnavailableError
from domain.metadata import MetadataType
from domain.ports.similarity_repository import SimilarityRepository, check_space

RESERVE_BYTES = 512 * 1024 * 1024
"""Room for what the engine writes besides the points: its log, and a copy of each segment that it optimizes."""

TIMEOUT_SECONDS = 60.0
"""Far above what a request may wait for an optimization, of which one took 18 s beside two other busy processes on two
cores: a process that does not answer for ten times as long hangs, and is replaced."""


@dataclass(eq=False, repr=False)
class EmbeddedSimilarityRepository(QdrantSimilarityRepository[EmbeddedPoints]):
    """An index in a directory of this machine.

    `indexed_metadata` names the metadata keys whose filters shall be fast. Below `reserve_bytes` of free disk space
    nothing is stored any more. See docs/adr for why the engine runs in a process of its own.
    """

    backend = "edge"

    directory: Path
    indexed_metadata: Mapping[str, MetadataType] = field(default_factory=dict)
    reserve_bytes: int = RESERVE_BYTES
    timeout_seconds: float = TIMEOUT_SECONDS
    _lock: BinaryIO | None = field(default=None, init=False)
    _manifest: Manifest | None = field(default=None, init=False)
    _replacement: "EmbeddedSimilarityRepository | None" = field(default=None, init=False)

    @override
    async def open(self, space: EmbeddingSpace | None) -> None:
        if self._points is not None:
            raise ConfigurationError(f"The index in {self.directory} is open already.")
        try:
            await self._open(space)
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError):
                raise directories.unusable(self.directory, error) from error
            raise

    async def _open(self, space: EmbeddingSpace | None) -> None:
        if space is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
        elif not self.directory.is_dir():
            raise directories.no_index(self.directory)
        self._lock = directories.locked(self.directory)
        self._manifest = manifest = await asyncio.to_thread(Manifest.read, self.directory)
        await asyncio.to_thread(manifest.remove_leftovers, self.directory)
        if manifest.current is not None:
            check_space(f"The index in {self.directory}", manifest.current.space, space)
            await self._start(manifest.current)
        elif space is not None:
            await self._create(space)
        else:
            raise directories.no_index(self.directory)

    @override
    async def close(self) -> None:
        points, self._points = self._points, None
        if points is not None:
            await points.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def manifest(self) -> Manifest:
        """That of the directory. Known once open."""
        if self._manifest is None:
            raise RepositoryUnavailableError("The index is not open.")
        return self._manifest

    @property
    @override
    def identity(self) -> UUID:
        return self.manifest.identity

    @override
    async def _under_construction(self) -> EmbeddedPoints | None:
        # One that is not open is brought up to date before it is ever promoted.
        return None if self._replacement is None else self._replacement._points

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
        new = copy.copy(self)
        new._lock = new._points = None
        new._manifest = manifest = await asyncio.to_thread(Manifest.read, self.directory)
        if (building := manifest.replacement) is not None and building.space == space:
            await new._start(building)
        else:
            await new._create(space)
        self._replacement = new
        return new

    @override
    async def promote(self, replacement: SimilarityRepository) -> None:
        if not isinstance(replacement, EmbeddedSimilarityRepository) or replacement.directory != self.directory:
            raise ValueError("Only what `replacement` of this repository returned can take its place.")
        points = self.points  # which has to be open
        await replacement.close()
        self._points = None
        await points.close()
        try:
            await asyncio.to_thread(Manifest(self.identity, replacement.manifest.replacement).write, self.directory)
        finally:
            await self.close()  # only when the directory is in order may another process open it

    async def _create(self, space: EmbeddingSpace) -> None:
        """Begin a shard that is the index, or is to replace the one that is."""
        # Shards beside a manifest that does not name them are leftovers; without a manifest they are a damage.
        begun = replace(self.manifest, replacement=None)
        await asyncio.to_thread(begun.write, self.directory)
        entry = ShardEntry(directories.free_shard_name(self.directory, space), space)
        await self._start(entry, create=True)
        self._manifest = replace(begun, replacement=entry) if begun.current else replace(begun, current=entry)
        await asyncio.to_thread(self._manifest.write, self.directory)

    async def _start(self, entry: ShardEntry, *, create: bool = False) -> None:
        directory = self.directory / entry.directory
        if not create and not directory.is_dir():
            raise directories.damaged(f"The index's shard {directory} is missing.", self.directory)
        layout = ShardLayout(
            vectors=vector_names(entry.space),
            dimension=entry.space.dimension,
            indexes=payload_indexes(self.indexed_metadata),
            reserve_bytes=self.reserve_bytes,
        )
        process = EngineProcess(directory, layout, timeout_seconds=self.timeout_seconds)
        try:
            await process.start(create=create)
        except BaseException:
            await process.stop()
            raise
        self._points = EmbeddedPoints(process, entry.space)
