"""Records and vectors in Qdrant, embedded or on a server."""

import asyncio
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from typing_extensions import override

from adapters.repositories.qdrant import layout
from adapters.repositories.qdrant import points as words
from adapters.repositories.qdrant.filters import image_filter, nearest_filter
from adapters.repositories.qdrant.listing import keyset_page
from adapters.repositories.qdrant.objects import Objects
from adapters.repositories.qdrant.points import Delete, Discard, FoundPoint, Point, PointId, Points, Upsert, VectorQuery
from adapters.repositories.qdrant.ranking import ranked
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace, normalised
from domain.errors import ImageNotFoundError
from domain.filters import EVERYTHING, Filter
from domain.images import Cursor, ImageId, ImagePage, ImageRecord, IndexedImage, LabelCounts, Match
from domain.metadata import Metadata
from domain.models import RepositoryStatus
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import NearestQuery

IDS_AT_ONCE = 1_000


class QdrantSimilarityRepository(SimilarityRepository):
    """Images, and their objects beside them (see layout.py), in points that answer nine verbs (see points.py).

    What is said of crashes and of other writers holds by the order of writes (see objects.py). Each backend adds where
    its points are: how an index is opened, closed and replaced.
    """

    backend: str
    """What `RepositoryStatus` calls it."""

    @property
    @abstractmethod
    def points(self) -> Points:
        """Those of the open index. Raises RuntimeError or RepositoryUnavailableError where none is open."""

    @abstractmethod
    async def details(self) -> Mapping[str, str | int | float | bool]:
        """What there is to say of the backend, for `RepositoryStatus`."""

    @property
    def _objects(self) -> Objects:
        return Objects(self.points, self.space)

    @override
    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        for images_, objects in await asyncio.to_thread(_commits, images, self.space):
            replaced = await self._objects.generations([point.id for point in images_])
            replaced_objects = layout.point_ids(replaced.values())
            await self.points.write([Upsert(objects), Upsert(images_), Discard(replaced_objects)])

    @override
    async def set_metadata(self, id_: ImageId, metadata: Metadata) -> None:
        fields = (*layout.RECORD_FIELDS, *layout.GENERATION_FIELDS)
        while points := await self._objects.images([str(id_)], fields):
            record = replace(layout.record_of(points[0]), metadata=metadata)
            if await self._objects.set_metadata(record, layout.Generation.of(points[0])):
                return
        raise ImageNotFoundError([id_])

    @override
    async def delete(self, ids: Collection[ImageId]) -> None:
        for some in _parts(ids, IDS_AT_ONCE):
            generations = await self._objects.generations(some)
            if generations:
                objects = layout.point_ids(generations.values())
                await self.points.write([Delete(list(generations)), Discard(objects)])

    @override
    async def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        records: dict[ImageId, ImageRecord] = {}
        for some in _parts(ids, IDS_AT_ONCE):
            images = await self._objects.images(some, layout.RECORD_FIELDS)
            records |= {record.id: record for record in await words.read_each(layout.record_of, images)}
        return records

    @override
    async def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        found: dict[ImageId, Embedding] = {}
        for some in _parts(ids, words.VECTORS_AT_ONCE):
            points = await self.points.retrieve(some, vector=layout.image_vector(self.space))
            found |= {UUID(point.id): normalised(point.vector) for point in points if point.vector is not None}
        return found

    @override
    async def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings | None]:
        found: dict[ImageId, Embeddings | None] = {}
        for some in _parts(ids, words.VECTORS_AT_ONCE):
            found |= {UUID(id_): vectors for id_, vectors in (await self._objects.embeddings(some)).items()}
        return found

    @override
    async def list(self, *, limit: int, after: Cursor | None = None, where: Filter = EVERYTHING) -> ImagePage:

        async def newest(where: Filter, limit: int) -> Sequence[ImageRecord]:
            which, by = image_filter(where), layout.CREATED_AT
            scroll = words.Scroll(where=which, limit=limit, fields=layout.RECORD_FIELDS, descending=by)
            points, _ = await self.points.scroll(scroll)
            return await words.read_each(layout.record_of, points)

        (items, next_cursor), total = await asyncio.gather(
            keyset_page(newest, limit=limit, after=after, where=where), self.count(where)
        )
        return ImagePage(items=items, next_cursor=next_cursor, total=total)

    @override
    async def nearest(self, query: NearestQuery) -> Sequence[Match]:
        where = nearest_filter(query.where, leave_out=[str(id_) for id_ in query.leave_out])
        asked = VectorQuery.of(query.checked(self.space), using=layout.image_vector(self.space), where=where)

        async def best(asked: VectorQuery) -> Sequence[FoundPoint]:
            """With the records of a first page at once. Of a wider answer most would be thrown away."""
            is_page = asked.limit == query.limit + 1
            return await self.points.query(replace(asked, fields=layout.RECORD_FIELDS) if is_page else asked)

        for _ in range(words.MOST_ATTEMPTS):
            page = await ranked(self.points, best, asked, slice(query.offset, query.end), lambda point: point.id)
            stored = [point for point in page if point.payload]
            bare = [point.id for point in page if not point.payload]
            stored += await self._objects.images(bare, layout.RECORD_FIELDS)
            read = await words.read_each(layout.record_of, stored)
            records = {str(record.id): record for record in read if query.where.matches(record)}
            matches = [Match(score=each.score, image=records[each.id]) for each in page if each.id in records]
            if len(matches) == len(page):  # else some were changed between the two requests, and others come next
                break
        return matches

    @override
    async def nearest_objects(self, query: NearestQuery) -> Sequence[Match]:
        return await self._objects.nearest(query.checked(self.space))

    @override
    async def count(self, where: Filter = EVERYTHING) -> int:
        return await self.points.count(image_filter(where))

    @override
    async def label_counts(self, where: Filter = EVERYTHING) -> LabelCounts:
        counts = await self.points.facet(layout.LABELS, image_filter(where))
        return {str(label): images for label, images in counts.items()}

    @override
    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        return await self._objects.orphans()

    @override
    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        return sum([await self._objects.sweep(some) for some in _parts(ids, IDS_AT_ONCE)])

    @override
    async def status(self) -> RepositoryStatus:
        details = await self.details()
        images_having = await self.points.facet(layout.OBJECT_COUNT, image_filter(EVERYTHING))
        return RepositoryStatus(
            backend=self.backend,
            images=sum(images_having.values()),
            objects=sum(int(number) * images for number, images in images_having.items()),
            details=details,
        )


def _parts(ids: Collection[ImageId], size: int) -> Iterator[list[PointId]]:
    """The ids of points, each once, in lists of at most `size`."""
    return words.chunks(dict.fromkeys(map(str, ids)), size)


def _commits(images: Sequence[IndexedImage], space: EmbeddingSpace) -> list[tuple[list[Point], list[Point]]]:
    """The points of images and those of their objects, the last one of each id, in parts that are written together.

    A part has at most POINTS_PER_COMMIT, or is of one image. Raises ValueError for an embedding that is not of `space`.
    """
    last_of_each = {image.record.id: image.checked(space) for image in images}
    commits: list[tuple[list[Point], list[Point]]] = []
    room = 0
    for image in last_of_each.values():
        size = 1 + len(image.record.objects)
        if not commits or size > room:
            commits.append(([], []))
            room = words.POINTS_PER_COMMIT
        room -= size
        generation = layout.Generation.new(image.record)
        commits[-1][0].append(layout.image_point(image.record, generation, image.embedding, space))
        commits[-1][1].extend(layout.object_points(image.record, generation, image.object_embeddings, space))
    return commits
