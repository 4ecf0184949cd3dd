"""Records and vectors in Qdrant, embedded or on a server.

No write of a server spans points atomically, so that every write is built around the one point of an image:

* An upsert writes the new generation of objects, then the image, then deletes the generation that it replaced.
* An update makes a new generation too, and the image takes it up only if it still has the old one: objects and image
  never differ in what filters compare, whatever else is written at the same time. (An embedded engine sets the payloads
  of all of them at once, if they are still of the generation that was read.)
* A delete removes the image, then its objects.

Cut short anywhere, this leaves the image with its objects as before or as after, and orphans, which searches pass over.
A writer deletes no generation but those that it has seen replaced, since another may be about to be committed. What a
crash left is deleted when a search meets it; where others may be writing, an hour after it was written: no write takes
as long.
"""

import asyncio
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID

import numpy as np
from typing_extensions import override

from adapters.repositories.qdrant import filters, layout, scalars
from adapters.repositories.qdrant import points as words
from adapters.repositories.qdrant.layout import Generation
from adapters.repositories.qdrant.listing import keyset_page, order_presence
from adapters.repositories.qdrant.points import Discard, FoundPoint, Point, PointId, Points
from adapters.repositories.qdrant.ranking import ranked
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace, normalised
from domain.errors import IndexDamagedError, RepositoryUnavailableError
from domain.filters import EVERYTHING, AnyOf, Field, Filter, Scalar
from domain.images import ImageId, ImageRecord, IndexedImage, Match
from domain.listing import NEWEST_FIRST, Cursor, ImagePage, Order
from domain.metadata import MetadataType, MetadataTypes
from domain.models import RepositoryStatus
from domain.ports.similarity_repository import SimilarityRepository
from domain.search import Candidate, NearestQuery

P = TypeVar("P", bound=Points)

ORPHANED_AFTER = timedelta(hours=1)
IDS_AT_ONCE = SCROLLED_AT_ONCE = 1_000
VECTORS_AT_ONCE = 200

_log = logging.getLogger(__name__)


class QdrantSimilarityRepository(SimilarityRepository, Generic[P]):
    """Images, and their objects beside them (see layout.py), in points that answer eight verbs (see points.py).

    Each backend adds where its points are: how an index is opened, closed and replaced.
    """

    backend: str
    """What `RepositoryStatus` calls it."""
    indexed_metadata: MetadataTypes

    _points: P | None = None

    @property
    def points(self) -> P:
        """Those of the open index. Raises RepositoryUnavailableError where none is open."""
        if self._points is None:
            raise RepositoryUnavailableError("The index is not open.")
        return self._points

    @property
    @override
    def space(self) -> EmbeddingSpace:
        return self.points.space

    @abstractmethod
    async def _under_construction(self) -> P | None:
        """The points of what is to replace the index, where it is being made."""

    @abstractmethod
    async def details(self) -> Mapping[str, str | int | float | bool]:
        """What there is to say of the backend, for `RepositoryStatus`."""

    @override
    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        for images_, objects in await asyncio.to_thread(_commits, images, self.space):
            replaced = await self._generations([point.id for point in images_])
            replaced_objects = layout.point_ids(replaced.values())
            await self.points.write([words.Upsert(objects), words.Upsert(images_), Discard(replaced_objects)])

    @override
    async def update(self, records: Sequence[ImageRecord]) -> Collection[ImageId]:
        missing: list[ImageId] = []
        for some in words.chunks({str(record.id): record for record in records}.items(), words.POINTS_PER_COMMIT):
            missing += map(ImageId, await self._update(dict(some)))
        return missing

    async def _update(self, pending: Mapping[PointId, ImageRecord]) -> set[PointId]:
        """Which of the images are not there."""
        asked, seen, damaged = pending.keys(), set[PointId](), list[PointId]()
        while images := await self._images(pending, layout.IMAGE_FIELDS):
            before = {point.id: Generation.of(point) for point in images}
            stored = await words.read_each(layout.record_of, images)
            changed = {id_: record.updated_as(pending[id_]) for id_, record in zip(before, stored, strict=True)}
            after, operations = await self._update_of(changed, before)
            await self.points.write(operations)
            current = await self._generations(before)
            replaced = {each for id_ in after for each in (before[id_], after[id_])} - set(current.values())
            await self.points.write([Discard(layout.point_ids(replaced))])
            damaged += [id_ for id_ in before.keys() - after.keys() if current.get(id_) == before[id_]]
            seen |= current.keys()
            pending = {id_: pending[id_] for id_ in current if current[id_] != after.get(id_) and id_ not in damaged}
        if damaged:
            raise IndexDamagedError(f"Objects of image {damaged[0]} are missing. Delete it and index it again.")
        return asked - seen

    async def _update_of(
        self, changed: Mapping[PointId, ImageRecord], before: Mapping[PointId, Generation]
    ) -> tuple[Mapping[PointId, Generation], list[words.Operation]]:
        """The generations that the images then have, and what makes them as in `changed`.

        Images that lack some of their objects are left out.
        """
        after, copies, commits = dict(before), list[Point](), list[words.Operation]()
        vectors = dict[PointId, Embedding]()
        if not self.points.is_serial:
            vectors = await self._vectors(layout.point_ids(before.values()), layout.object_vector(self.space))
        for id_, record in changed.items():
            payload, points = layout.changed_payload(record), [id_, *before[id_].point_ids]
            if record.objects and not self.points.is_serial:
                objects = self._stacked(vectors, before[id_])
                if objects is None:
                    del after[id_]
                    continue
                after[id_] = Generation.new(record)
                copies += layout.object_points(record, after[id_], objects, self.space)
                payload, points = {**payload, layout.GENERATION: after[id_].name}, [id_]
            unchanged = words.Where(must=[words.OneOf(layout.GENERATION, [before[id_].name])])
            commits.append(words.SetPayload(payload, points, unchanged))
        return after, [words.Upsert(copies), *commits]

    @override
    async def delete(self, ids: Collection[ImageId]) -> None:
        for some in _parts(ids, IDS_AT_ONCE):
            generations = await self._generations(some)
            if generations:
                objects = layout.point_ids(generations.values())
                await self.points.write([words.Delete(list(generations)), Discard(objects)])

    @override
    async def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        images = await self._images(ids, layout.RECORD_FIELDS)
        return {record.id: record for record in await words.read_each(layout.record_of, images)}

    @override
    async def named(self, sha256s: Collection[str]) -> Collection[str]:
        named: set[str] = set()
        building = await self._under_construction() if sha256s else None
        for points in (self.points,) if building is None else (building, self.points):
            for some in words.chunks(sha256s, IDS_AT_ONCE):
                rest = set(some) - named
                while rest:  # a facet would look at every SHA-256 that there is
                    of_these = filters.image_filter(Filter(all=(AnyOf(Field(layout.SHA256), tuple(rest)),)))
                    scroll = words.Scroll(where=of_these, limit=len(rest), fields=(layout.SHA256,))
                    found, _ = await points.scroll(scroll)
                    if not found:
                        break
                    named |= {point.payload[layout.SHA256] for point in found}
                    rest -= named
        return named

    @override
    async def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        vectors = await self._vectors(ids, layout.image_vector(self.space))
        return {UUID(id_): normalised(vector) for id_, vector in vectors.items()}

    @override
    async def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings | None]:
        found: dict[ImageId, Embeddings | None] = {}
        incomplete: dict[PointId, Generation] = {}
        generations = await self._generations(ids)
        while generations:
            vectors = await self._vectors(layout.point_ids(generations.values()), layout.object_vector(self.space))
            before, incomplete = incomplete, {}
            for image, generation in generations.items():
                embeddings = self._stacked(vectors, generation)
                if embeddings is not None or before.get(image) == generation:
                    found[UUID(image)] = embeddings
                else:  # perhaps replaced between the two requests
                    incomplete[image] = generation
            generations = await self._generations(incomplete)
        return found

    async def _retrieved(
        self, ids: Iterable[ImageId | PointId], *, fields: Sequence[str] = (), vector: str | None = None
    ) -> Sequence[FoundPoint]:
        """See `Points.retrieve`; in parts, so that no request is large."""
        found: list[FoundPoint] = []
        for some in _parts(ids, VECTORS_AT_ONCE if vector else IDS_AT_ONCE):
            found += await self.points.retrieve(some, fields=fields, vector=vector)
        return found

    async def _images(self, ids: Iterable[ImageId | PointId], fields: Sequence[str]) -> Sequence[FoundPoint]:
        """Those of the points that are there and are images'; KIND must be among the fields."""
        points = await self._retrieved(ids, fields=fields)
        return [point for point in points if point.payload[layout.KIND] == layout.KIND_IMAGE]

    async def _generations(self, images: Iterable[ImageId | PointId]) -> dict[PointId, Generation]:
        """Which generation counts, of those images that are there."""
        return {point.id: Generation.of(point) for point in await self._images(images, layout.GENERATION_FIELDS)}

    async def _vectors(self, ids: Iterable[ImageId | PointId], name: str) -> dict[PointId, Embedding]:
        points = await self._retrieved(ids, vector=name)
        return {point.id: point.vector for point in points if point.vector is not None}

    def _stacked(self, vectors: Mapping[PointId, Embedding], generation: Generation) -> Embeddings | None:
        """The embeddings of the generation's objects, in their order; None where some are missing."""
        of_objects = [vectors[id_] for id_ in generation.point_ids if id_ in vectors]
        if len(of_objects) < generation.object_count:
            return None
        return normalised(np.array(of_objects, dtype=np.float32).reshape(len(of_objects), self.space.dimension))

    @override
    async def list(
        self,
        *,
        limit: int,
        after: Cursor | None = None,
        where: Filter = EVERYTHING,
        order_by: Order = NEWEST_FIRST,
    ) -> ImagePage:
        which = listed = self._images_that(where)
        if (key := order_by.field.metadata_key) is not None:
            path, name = order_presence(key, is_of_times=order_by.is_of_times)
            listed = words.Where(must=[which, words.OneOf(path, [name])])

        async def read(scroll: words.Scroll) -> Sequence[ImageRecord]:
            points, _ = await self.points.scroll(scroll)
            return await words.read_each(layout.record_of, points)

        (items, next_cursor), total = await asyncio.gather(
            keyset_page(read, limit=limit, after=after, where=which, order=order_by), self.points.count(listed)
        )
        return ImagePage(items=items, next_cursor=next_cursor, total=total)

    def _images_that(self, where: Filter) -> words.Where:
        """Passes the points of images that `where` passes."""
        where.check_prefixes(self.indexed_metadata)
        return filters.image_filter(where)

    @override
    async def nearest(self, query: NearestQuery) -> Sequence[Match]:
        query.where.check_prefixes(self.indexed_metadata)
        where = filters.nearest_filter(query.where, leave_out=[str(id_) for id_ in query.leave_out])
        # With the records of a first page at once. Of a later one most would be thrown away.
        fields = () if query.offset else layout.RECORD_FIELDS
        query, using = query.checked(self.space), layout.image_vector(self.space)
        for _ in range(words.MOST_ATTEMPTS):
            page = await ranked(self.points, query, using=using, where=where, fields=fields)
            stored = [point for point in page if point.payload]
            bare = [point.id for point in page if not point.payload]
            stored += await self._images(bare, layout.RECORD_FIELDS)
            read = await words.read_each(layout.record_of, stored)
            records = {str(record.id): record for record in read if query.where.matches(record)}
            matches = [Match(score=each.score, image=records[each.id]) for each in page if each.id in records]
            if len(matches) == len(page):  # else some were changed between the two requests, and others come next
                break
        return matches

    @override
    async def candidates(
        self, query: NearestQuery, *, embeddings: bool = False, appearances: bool = False
    ) -> Sequence[Candidate]:
        query.where.check_prefixes(self.indexed_metadata)
        where = filters.nearest_filter(query.where, leave_out=[str(id_) for id_ in query.leave_out])
        using = layout.image_vector(self.space)
        found = await ranked(self.points, query.checked(self.space), using=using, where=where)
        fields, vector = layout.APPEARANCE_FIELDS if appearances else (), using if embeddings else None
        ids = [each.id for each in found]
        stored = await self.points.retrieve(ids, fields=fields, vector=vector) if ids else ()
        more = {point.id: point for point in stored}
        return [
            Candidate(
                id=UUID(each.id),
                score=each.score,
                embedding=more[each.id].vector,
                appearance=layout.appearance_of(more[each.id].payload),
            )
            for each in found
            if each.id in more  # else it was deleted meanwhile
        ]

    @override
    async def nearest_objects(self, query: NearestQuery) -> Sequence[Match]:
        """Compares what is found with its images, and looks again without the orphans until there are none.

        So they take no other's place in the ranking. It also looks again while images change between the two requests.
        """
        query.where.check_prefixes(self.indexed_metadata)
        query, using = query.checked(self.space), layout.object_vector(self.space)
        leave_out, fields = [str(id_) for id_ in query.leave_out], (*layout.GENERATION_FIELDS, layout.OBJECT_INDEX)
        from_the_start = replace(query, offset=0, limit=query.end)
        orphans: set[Generation] = set()
        for _ in range(words.MOST_ATTEMPTS):
            where = filters.object_filter(query.where, leave_out=leave_out, without=layout.point_ids(orphans))
            hits = await ranked(
                self.points, from_the_start, using=using, where=where, fields=fields, group_by=layout.OBJECT_IMAGE
            )
            found = await words.read_each(Generation.of, hits)
            page = found[query.offset :]
            images = await self._images({each.image for each in page}, layout.IMAGE_FIELDS)
            current = {point.id: Generation.of(point) for point in images}
            others = {each.image for each in (*orphans, *found[: query.offset])} - current.keys()
            current |= await self._generations(others)
            read = await words.read_each(layout.record_of, images)
            records = {str(record.id): record for record in read if query.where.matches(record)}
            committed = {orphan for orphan in orphans if current.get(orphan.image) == orphan}
            met = {each for each in found if current.get(each.image) != each}
            if not met and not committed and len(records) == len(images):
                break
            orphans = (orphans | met) - committed
        if old := list(filter(self._is_old, orphans)):
            _log.info("Deleting the objects that %d interrupted writes left.", len(old))
            await self.points.write([Discard(layout.point_ids(old))])
        return [
            Match(score=hit.score, image=record, region=record.objects[hit.payload[layout.OBJECT_INDEX]])
            for hit, each in zip(hits[query.offset :], page, strict=True)
            if (record := records.get(each.image)) is not None and current[each.image] == each
        ]

    @override
    async def count(self, where: Filter = EVERYTHING) -> int:
        return await self.points.count(self._images_that(where))

    @override
    async def facet(self, field: Field, type_: MetadataType, where: Filter = EVERYTHING) -> Mapping[Scalar, int]:
        key, which = field.metadata_key, self._images_that(where)
        if key is not None and type_ is MetadataType.BOOL:
            keys = {True: layout.METADATA_TRUE, False: layout.METADATA_FALSE}
            flags = {value: (await self.points.facet(path, which)).get(key, 0) for value, path in keys.items()}
            return {value: images for value, images in flags.items() if images}
        if key is not None and type_ is MetadataType.INTEGER:
            texts = await self.points.facet(scalars.number_text_path(key), which)
            numbers = [(float(text), images) for text, images in texts.items()]
            return {int(number): images for number, images in numbers if number.is_integer()}
        counts = await self.points.facet(field.name if key is None else scalars.metadata_path(key), which)
        return {value: images for value, images in counts.items() if isinstance(value, str)}

    @override
    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        orphans: Counter[ImageId] = Counter()
        async for some in self._orphaned(None):
            orphans.update(ImageId(point.payload[layout.OBJECT_IMAGE]) for point in some)
        return orphans

    @override
    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        swept = 0
        for some in _parts(ids, IDS_AT_ONCE):
            async for orphans in self._orphaned(some):
                await self.points.write([words.Delete([point.id for point in orphans])])
                swept += len(orphans)
        return swept

    async def _orphaned(self, images: Collection[PointId] | None) -> AsyncIterator[Sequence[FoundPoint]]:
        """Old points of objects that are of no image as it is now, in groups; only of these images, if given."""
        scroll = words.Scroll(where=filters.objects_of(images), limit=SCROLLED_AT_ONCE, fields=layout.GENERATION_FIELDS)
        while True:
            points, after = await self.points.scroll(scroll)
            generations = {point.id: Generation.of(point) for point in points}
            old = {id_: each for id_, each in generations.items() if self._is_old(each)}
            current = await self._generations({each.image for each in old.values()})
            orphans = [id_ for id_, each in old.items() if current.get(each.image) != each]
            if orphans:  # but for those that a write has replaced between the requests
                yield await self._retrieved(orphans, fields=(layout.OBJECT_IMAGE,))
            if after is None:
                return
            scroll = replace(scroll, after=after)

    def _is_old(self, orphan: Generation) -> bool:
        """Whether no write can be about to commit it."""
        return self.points.is_serial or orphan.is_older_than(ORPHANED_AFTER)

    @override
    async def status(self) -> RepositoryStatus:
        details = await self.details()
        images_having = await self.points.facet(layout.OBJECT_COUNT, filters.image_filter(EVERYTHING))
        return RepositoryStatus(
            backend=self.backend,
            images=sum(images_having.values()),
            objects=sum(int(number) * images for number, images in images_having.items()),
            details=details,
        )


def _parts(ids: Iterable[ImageId | PointId], size: int) -> Iterator[list[PointId]]:
    """The ids of points, each once, in lists of at most `size`."""
    return words.chunks(dict.fromkeys(map(str, ids)), size)


def _commits(images: Sequence[IndexedImage], space: EmbeddingSpace) -> list[tuple[list[Point], list[Point]]]:
    """The points of images and those of their objects, the last one of each id, in parts that are written together.

    A part has at most POINTS_PER_COMMIT, or is of one image. Raises ValueError for an embedding that is not of `space`.
    """
    last_of_each = {image.record.id: image.checked(space) for image in images}
    commits: list[tuple[list[Point], list[Point]]] = []
    for image in last_of_each.values():
        generation = Generation.new(image.record)
        points = layout.object_points(image.record, generation, image.object_embeddings, space)
        if not commits or sum(map(len, commits[-1])) + 1 + len(points) > words.POINTS_PER_COMMIT:
            commits.append(([], []))
        commits[-1][0].append(layout.image_point(image.record, generation, image.embedding, space))
        commits[-1][1].extend(points)
    return commits
