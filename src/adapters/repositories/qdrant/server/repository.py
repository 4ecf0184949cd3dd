"""An index on a Qdrant server or cluster, shared by any number of processes."""

import copy
from collections.abc import Mapping
from uuid import UUID

from typing_extensions import override

from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from adapters.repositories.qdrant.server.collections import QdrantCollections
from adapters.repositories.qdrant.server.faults import QdrantFault
from adapters.repositories.qdrant.server.points import ServerPoints
from domain.embeddings import EmbeddingSpace
from domain.ports.similarity_repository import SimilarityRepository


class ServerSimilarityRepository(QdrantSimilarityRepository[ServerPoints]):
    """One index on a server.

    It binds to the collection that the index has when it opens. When another process replaces the index and the new one
    has the same space, it follows; with another space every call raises EmbeddingSpaceError, so that embeddings of two
    spaces never meet.

    Reads see every acknowledged write, on a cluster too: a write returns when every live replica has applied it, and
    one that has not is taken out of service first, so that a read may ask any of them.
    """

    backend = "qdrant"

    def __init__(self, collections: QdrantCollections) -> None:
        self._connection = collections.connection
        self._collections = collections
        self.indexed_metadata = collections.indexed_metadata

    @override
    async def open(self, space: EmbeddingSpace | None) -> None:
        opened_before = self._points is not None
        if not opened_before:
            self._connection.acquire()
        try:
            await self._connection.check_server()
            collection = await self._collections.open(space)
        except BaseException as error:
            if not opened_before:
                await self._connection.release()
            if isinstance(error, QdrantFault):
                raise self._connection.why_it_cannot_open(error) from error
            raise
        self._points = ServerPoints(self._collections, collection)

    @override
    async def close(self) -> None:
        """Writes are durable when they return, so that there is nothing to finish."""
        if self._points is not None:
            self._points = None
            await self._connection.release()

    @property
    @override
    def identity(self) -> UUID:
        return self.points.collection.identity

    @override
    async def _under_construction(self) -> ServerPoints | None:
        with self._connection.faults_translated():
            collection = await self._collections.under_construction()
        return None if collection is None else ServerPoints(self._collections, collection, is_live=False)

    @override
    async def details(self) -> Mapping[str, str | int | float | bool]:
        info = await self.points.info()
        return {
            "collection": self.points.collection.name,
            "status": str(info.status.value),
            "segments": info.segments_count,
            "indexed_vectors": info.indexed_vectors_count or 0,
            "shards": info.config.params.shard_number or 1,
            "replicas": info.config.params.replication_factor or 1,
        }

    @override
    async def replacement(self, space: EmbeddingSpace) -> "ServerSimilarityRepository":
        _ = self.points
        with self._connection.faults_translated():
            collection = await self._collections.replacement(space, self.identity)
        replacement = copy.copy(self)
        replacement._points = ServerPoints(self._collections, collection, is_live=False)
        self._connection.acquire()
        return replacement

    @override
    async def promote(self, replacement: SimilarityRepository) -> None:
        if not isinstance(replacement, ServerSimilarityRepository) or replacement._collections is not self._collections:
            raise ValueError("Only what `replacement` of this repository returned can take its place.")
        with self._connection.faults_translated():
            await self._collections.promote(replacement.points.collection)
        await replacement.close()
        await self.close()
