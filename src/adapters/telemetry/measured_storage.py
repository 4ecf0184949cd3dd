"""Ports that keep things, measured."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from adapters.telemetry.metrics import Metrics, StageName
from adapters.telemetry.stages import Stages
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.filters import EVERYTHING, Filter
from domain.images import Cursor, ImageId, ImagePage, ImageRecord, IndexedImage, LabelCounts, Match
from domain.metadata import Metadata
from domain.models import RepositoryStatus
from domain.ports.image_store import FileSizes, ImageStore, OpenedOriginal
from domain.ports.similarity_repository import SimilarityRepository


class MeasuredImageStore(ImageStore):
    """Tells how long reading and writing files takes."""

    def __init__(self, store: ImageStore, stages: Stages) -> None:
        self._store = store
        self._stages = stages

    async def open(self) -> None:
        """See the port."""
        await self._store.open()

    async def put(self, id_: ImageId, *, original: bytes, thumbnail: bytes) -> None:
        """See the port."""
        with self._stages.measure(StageName.STORE_WRITE):
            await self._store.put(id_, original=original, thumbnail=thumbnail)

    async def require_room(self, size: int) -> None:
        """See the port."""
        await self._store.require_room(size)

    async def put_thumbnail(self, id_: ImageId, thumbnail: bytes) -> None:
        """See the port."""
        with self._stages.measure(StageName.STORE_WRITE):
            await self._store.put_thumbnail(id_, thumbnail)

    async def original(self, id_: ImageId) -> bytes:
        """See the port."""
        with self._stages.measure(StageName.STORE_READ):
            return await self._store.original(id_)

    @asynccontextmanager
    async def opened_original(self, id_: ImageId) -> AsyncIterator["MeasuredOriginal"]:
        """See the port."""
        async with AsyncExitStack() as opened:
            with self._stages.measure(StageName.STORE_READ):
                original = await opened.enter_async_context(self._store.opened_original(id_))
            yield MeasuredOriginal(original, self._stages)

    async def thumbnail(self, id_: ImageId) -> bytes:
        """See the port."""
        with self._stages.measure(StageName.STORE_READ):
            return await self._store.thumbnail(id_)

    async def delete(self, id_: ImageId) -> None:
        """See the port."""
        with self._stages.measure(StageName.STORE_WRITE):
            await self._store.delete(id_)

    def ids(self) -> AsyncIterator[Sequence[ImageId]]:
        """See the port."""
        return self._store.ids()

    async def sizes(self, ids: Collection[ImageId]) -> Mapping[ImageId, FileSizes]:
        """See the port."""
        return await self._store.sizes(ids)

    def changing(self, ids: Collection[ImageId]) -> AbstractAsyncContextManager[None]:
        """See the port."""
        return self._store.changing(ids)

    def paused(self) -> AbstractAsyncContextManager[Sequence[ImageId]]:
        """See the port."""
        return self._store.paused()

    async def noted(self) -> Collection[ImageId]:
        """See the port."""
        return await self._store.noted()

    async def forget_interrupted(self) -> None:
        """See the port."""
        await self._store.forget_interrupted()


class MeasuredOriginal(OpenedOriginal):
    """Tells how long each piece takes to read, without what passes between the pieces."""

    def __init__(self, original: OpenedOriginal, stages: Stages) -> None:
        self._original = original
        self._stages = stages
        self.size = original.size

    async def read(self, most: int) -> bytes:
        """See the port."""
        with self._stages.measure(StageName.STORE_READ):
            return await self._original.read(most)


class MeasuredSimilarityRepository(SimilarityRepository):
    """Tells how long reading and writing the index takes, and how many images are written.

    Opening and closing are no stage of a request, and `status` is what metrics and readiness themselves ask.
    """

    def __init__(self, repository: SimilarityRepository, stages: Stages, metrics: Metrics) -> None:
        self._repository = repository
        self._stages = stages
        self._metrics = metrics

    async def open(self, space: EmbeddingSpace | None) -> None:
        """See the port."""
        await self._repository.open(space)

    async def close(self) -> None:
        """See the port."""
        await self._repository.close()

    @property
    def space(self) -> EmbeddingSpace:
        """See the port."""
        return self._repository.space

    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        """See the port."""
        with self._stages.measure(StageName.INDEX_WRITE):
            await self._repository.upsert(images)
        self._metrics.images_written(len(images))

    async def set_metadata(self, id_: ImageId, metadata: Metadata) -> None:
        """See the port."""
        with self._stages.measure(StageName.INDEX_WRITE):
            await self._repository.set_metadata(id_, metadata)

    async def delete(self, ids: Collection[ImageId]) -> None:
        """See the port."""
        with self._stages.measure(StageName.INDEX_WRITE):
            await self._repository.delete(ids)

    async def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        """See the port."""
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.get(ids)

    async def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        """See the port."""
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.embeddings(ids)

    async def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings]:
        """See the port."""
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.object_embeddings(ids)

    async def list(self, *, limit: int, after: Cursor | None = None, where: Filter = EVERYTHING) -> ImagePage:
        """See the port."""
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.list(limit=limit, after=after, where=where)

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
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.nearest(
                query,
                limit=limit,
                offset=offset,
                score_threshold=score_threshold,
                where=where,
                leave_out=leave_out,
                exact=exact,
            )

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
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.nearest_objects(
                query,
                limit=limit,
                offset=offset,
                score_threshold=score_threshold,
                where=where,
                leave_out=leave_out,
                exact=exact,
            )

    async def count(self, where: Filter = EVERYTHING) -> int:
        """See the port."""
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.count(where)

    async def label_counts(self, where: Filter = EVERYTHING) -> LabelCounts:
        """See the port."""
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.label_counts(where)

    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        """See the port."""
        with self._stages.measure(StageName.INDEX_READ):
            return await self._repository.orphaned_objects()

    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        """See the port."""
        with self._stages.measure(StageName.INDEX_WRITE):
            return await self._repository.sweep_objects(ids)

    async def status(self) -> RepositoryStatus:
        """See the port."""
        return await self._repository.status()

    async def replacement(self, space: EmbeddingSpace) -> "MeasuredSimilarityRepository":
        """See the port."""
        return MeasuredSimilarityRepository(await self._repository.replacement(space), self._stages, self._metrics)

    async def promote(self, replacement: SimilarityRepository) -> None:
        """See the port."""
        if isinstance(replacement, MeasuredSimilarityRepository):
            replacement = replacement._repository  # its own kind, which the repository knows
        await self._repository.promote(replacement)
