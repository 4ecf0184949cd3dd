"""Records and vectors on a Qdrant server or cluster."""

import asyncio
import copy
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from qdrant_client import models

from adapters.repositories.embedding_checks import (
    check_window,
    checked_embedding,
    checked_object_embeddings,
    stacked_embeddings,
)
from adapters.repositories.filter_compiler import compile_filter, compile_image_filter
from adapters.repositories.keyset_page import keyset_page
from adapters.repositories.object_payload import Generation
from adapters.repositories.payload import (
    GENERATION,
    KIND,
    KIND_IMAGE,
    OBJECT_COUNT,
    VECTOR_NAME,
    metadata_payload,
    payload_of,
    record_of,
)
from adapters.repositories.qdrant_collections import Layout, QdrantCollections
from adapters.repositories.qdrant_connection import QdrantConnection
from adapters.repositories.qdrant_dialect import QDRANT
from adapters.repositories.qdrant_errors import QdrantFault
from adapters.repositories.qdrant_live_collection import IDS_PER_REQUEST, LiveCollection, chunks, point_id
from adapters.repositories.qdrant_objects import ObjectQuery, QdrantObjects, object_points
from adapters.repositories.tied_scores import in_order
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import ImageNotFoundError
from domain.filters import EVERYTHING, Filter
from domain.images import Cursor, ImageId, ImagePage, ImageRecord, IndexedImage, LabelCounts, Match
from domain.metadata import Metadata, MetadataType
from domain.models import RepositoryStatus
from domain.ports.similarity_repository import SimilarityRepository


class QdrantSimilarityRepository(SimilarityRepository):
    """One index on a Qdrant server or cluster, shared by any number of processes.

    It binds to the collection that the index has when it opens. When another process replaces the index and the new one
    has the same space, it follows; with another space every call raises EmbeddingSpaceError, so that embeddings of two
    spaces never meet.

    Reads see every acknowledged write, on a cluster too: unless `write_consistency_factor` says otherwise, a write
    returns when every live replica has applied it, so that a read may ask any one of them.

    `timeout` (seconds) bounds each request with all its attempts. `upsert_batch` is how many images are committed
    together, after all of their objects, and the most points of one request. `url` may be `:memory:`, the client's
    local mode: without a server, slow, for unit tests only.
    """

    def __init__(
        self,
        *,
        url: str,
        api_key: str | None = None,
        collection: str = "lookalike",
        indexed_metadata: Mapping[str, MetadataType] | None = None,
        timeout: float = 10.0,
        grpc_port: int = 6334,
        prefer_grpc: bool = True,
        ca_certificate: Path | None = None,
        shard_number: int | None = None,
        replication_factor: int | None = None,
        write_consistency_factor: int | None = None,
        on_disk_vectors: bool = True,
        quantization: str = "int8",
        upsert_batch: int = 64,
    ) -> None:
        self._connection = QdrantConnection(
            url=url,
            api_key=api_key,
            timeout=timeout,
            grpc_port=grpc_port,
            prefer_grpc=prefer_grpc,
            ca_certificate=ca_certificate,
        )
        layout = Layout(
            indexed_metadata=indexed_metadata or {},
            shard_number=shard_number,
            replication_factor=replication_factor,
            write_consistency_factor=write_consistency_factor,
            on_disk_vectors=on_disk_vectors,
            quantization=quantization,
        )
        self._collections = QdrantCollections(self._connection, collection, layout)
        self._images_per_commit = upsert_batch
        self._collection = LiveCollection(self._connection, self._collections, upsert_batch=upsert_batch)
        self._objects = QdrantObjects(self._collection)

    async def open(self, space: EmbeddingSpace | None) -> None:
        """See the port."""
        opened_before = self._collection.is_bound
        if not opened_before:
            self._connection.acquire()
        try:
            await self._connection.check_server()
            self._collection.bind(await self._collections.open(space))
        except BaseException as error:
            if not opened_before:
                await self._connection.release()
            if isinstance(error, QdrantFault):
                raise self._connection.why_it_cannot_open(error) from error
            raise

    async def close(self) -> None:
        """See the port. Writes are durable when they return, so that there is nothing to finish."""
        if self._collection.is_bound:
            self._collection.bind(None)
            await self._connection.release()

    @property
    def space(self) -> EmbeddingSpace:
        """See the port."""
        return self._collection.bound.space

    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        """See the port."""
        last_of_each = list({image.record.id: image for image in images}.values())
        vectors = stacked_embeddings(last_of_each, self.space)
        object_embeddings = checked_object_embeddings(last_of_each, self.space)
        described = zip((image.record for image in last_of_each), vectors, object_embeddings, strict=True)
        for some in chunks(described, self._images_per_commit):
            records = [record for record, _, _ in some]
            replaced = await self._objects.generations(record.id for record in records)
            written = [Generation.new(record) for record in records]
            await self._collection.upsert(
                point
                for (record, _, embeddings), generation in zip(some, written, strict=True)
                for point in object_points(record, generation, embeddings)
            )
            await self._collection.upsert(
                models.PointStruct(
                    id=str(record.id),
                    vector={VECTOR_NAME: vector.tolist()},
                    payload=payload_of(record, generation.name),
                )
                for (record, vector, _), generation in zip(some, written, strict=True)
            )
            await self._objects.discard(replaced.values())

    async def set_metadata(self, id_: ImageId, metadata: Metadata) -> None:
        """See the port."""
        while (payload := (await self._collection.payloads([id_])).get(id_)) is not None:
            record = replace(record_of(id_, payload), metadata=metadata)
            before, after = Generation.of(id_, payload), Generation.new(record)
            if not await self._objects.copy(record, before=before, after=after):
                continue
            await self._take_up(after, {**metadata_payload(metadata), GENERATION: after.name}, instead_of=before)
            current = (await self._objects.generations([id_])).get(id_)
            await self._objects.discard(generation for generation in (before, after) if generation != current)
            if current == after:
                return
        raise ImageNotFoundError([id_])

    async def delete(self, ids: Collection[ImageId]) -> None:
        """See the port."""
        for some in chunks(ids, IDS_PER_REQUEST):
            generations = await self._objects.generations(some)
            await self._collection.delete(some)
            await self._objects.discard(generations.values())

    async def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        """See the port."""
        payloads = await self._collection.payloads(ids)
        return {id_: record_of(id_, payload) for id_, payload in payloads.items() if payload[KIND] == KIND_IMAGE}

    async def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        """See the port."""
        return await self._collection.vectors(ids, VECTOR_NAME)

    async def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings]:
        """See the port."""
        return await self._objects.embeddings(ids)

    async def list(self, *, limit: int, after: Cursor | None = None, where: Filter = EVERYTHING) -> ImagePage:
        """See the port."""

        async def newest(where: Filter, limit: int) -> Sequence[ImageRecord]:
            compiled = compile_image_filter(where, QDRANT)
            points, _ = await self._collection.ask(
                lambda client, to: client.scroll(
                    to.name,
                    scroll_filter=compiled,
                    limit=limit,
                    order_by=models.OrderBy(key="created_at", direction=models.Direction.DESC),
                )
            )
            return [_record(point) for point in points]

        (items, next_cursor), total = await asyncio.gather(
            keyset_page(newest, limit=limit, after=after, where=where), self.count(where)
        )
        return ImagePage(items=items, next_cursor=next_cursor, total=total)

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
        check_window(limit, offset)
        vector = checked_embedding(query, self.space, of="the query").tolist()
        compiled = compile_filter(where, QDRANT, leave_out=leave_out)

        async def page() -> list[tuple[models.ScoredPoint, float]]:
            async def best(width: int, exact: bool) -> Sequence[models.ScoredPoint]:
                answer = await self._collection.ask(
                    lambda client, to: client.query_points(
                        to.name,
                        query=vector,
                        using=VECTOR_NAME,
                        query_filter=compiled,
                        search_params=self._collection.search_params(exact=exact),
                        limit=width,
                        score_threshold=_threshold(score_threshold),
                        with_payload=not offset and width == limit + 1,  # else most would be thrown away
                    )
                )
                return answer.points

            found, scores = await self._collection.ranked(best, end=offset + limit, exact=exact)
            places = in_order(scores, slice(offset, offset + limit), lambda place: point_id(found[place]))
            return [(found[place], float(scores[place])) for place in places]

        for _ in range(2):
            points = await page()
            stored = {point_id(point): point.payload or {} for point, _ in points}
            if not all(stored.values()):
                stored = {id_: {**payload} for id_, payload in (await self._collection.payloads(stored)).items()}
            if len(stored) == len(points):  # else some were deleted between the two requests
                break
        scores = ((point_id(point), score) for point, score in points)
        return [Match(score=score, image=record_of(id_, stored[id_])) for id_, score in scores if id_ in stored]

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
        check_window(limit, offset)
        return await self._objects.nearest(
            ObjectQuery(
                vector=checked_embedding(query, self.space, of="the query").tolist(),
                limit=limit,
                offset=offset,
                score_threshold=_threshold(score_threshold),
                where=where,
                leave_out=leave_out,
                exact=exact,
            )
        )

    async def count(self, where: Filter = EVERYTHING) -> int:
        """See the port."""
        compiled = compile_image_filter(where, QDRANT)
        answer = await self._collection.ask(lambda client, to: client.count(to.name, count_filter=compiled, exact=True))
        return answer.count

    async def label_counts(self, where: Filter = EVERYTHING) -> LabelCounts:
        """See the port."""
        counts = await self._collection.facet("labels", compile_image_filter(where, QDRANT))
        return {str(label): images for label, images in counts.items()}

    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        """See the port."""
        orphans: Counter[ImageId] = Counter()
        for generation in await self._objects.orphans():
            orphans[generation.image] += generation.object_count
        return orphans

    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        """See the port."""
        swept = 0
        for some in chunks(ids, IDS_PER_REQUEST):
            orphans = await self._objects.orphans(some)
            await self._objects.remove(orphans)
            swept += sum(orphan.object_count for orphan in orphans)
        return swept

    async def status(self) -> RepositoryStatus:
        """See the port."""
        images, images_by_objects, info = await asyncio.gather(
            self.count(),
            self._collection.facet(OBJECT_COUNT, compile_image_filter(EVERYTHING, QDRANT)),
            self._collection.info(),
        )
        objects = sum(int(number) * having for number, having in images_by_objects.items())
        details: dict[str, str | int | float | bool] = {
            "collection": self._collection.bound.name,
            "status": str(info.status.value),
            "segments": info.segments_count,
            "indexed_vectors": info.indexed_vectors_count or 0,
            "shards": info.config.params.shard_number or 1,
            "replicas": info.config.params.replication_factor or 1,
        }
        return RepositoryStatus(backend="qdrant", images=images, objects=objects, details=details)

    async def replacement(self, space: EmbeddingSpace) -> "QdrantSimilarityRepository":
        """See the port."""
        _ = self._collection.bound
        replacement = copy.copy(self)
        try:
            replacement._collection = self._collection.beside(await self._collections.replacement(space))
        except QdrantFault as fault:
            raise fault.translated(self._connection.url) from fault
        replacement._objects = QdrantObjects(replacement._collection)
        self._connection.acquire()
        return replacement

    async def promote(self, replacement: SimilarityRepository) -> None:
        """See the port."""
        if not isinstance(replacement, QdrantSimilarityRepository) or replacement._collections is not self._collections:
            raise ValueError("Only what `replacement` of this repository returned can take its place.")
        try:
            await self._collections.promote(replacement._collection.bound)
        except QdrantFault as fault:
            raise fault.translated(self._connection.url) from fault
        await replacement.close()
        await self.close()

    async def _take_up(self, generation: Generation, payload: Mapping[str, object], *, instead_of: Generation) -> None:
        """Set fields of the image's point, if it still has the other generation; else do nothing."""
        unchanged = models.Filter(
            must=[
                models.HasIdCondition(has_id=[str(generation.image)]),
                models.FieldCondition(key=GENERATION, match=models.MatchValue(value=instead_of.name)),
            ]
        )
        fields = dict(payload)
        await self._collection.write(
            lambda client, to: client.set_payload(to.name, fields, unchanged, ordering=to.ordering)
        )


def _threshold(score_threshold: float | None) -> float | None:
    """None where everything passes, also what the server's rounding puts a little below -1."""
    return None if score_threshold is not None and score_threshold <= -1.0 else score_threshold


def _record(point: models.Record) -> ImageRecord:
    return record_of(point_id(point), point.payload or {})
