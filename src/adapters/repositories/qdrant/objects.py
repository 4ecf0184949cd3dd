"""The points of objects: how a write appears with its image, and how a search passes over those that did not.

No write of a server spans points atomically, so that every write is built around the one point of an image:

* An upsert writes the new generation of objects, then the image, then deletes the generation that it replaced.
* New metadata makes a new generation too, and the image takes it up only if it still has the old one: objects and image
  never differ in what filters compare, whatever else is written at the same time. (An embedded engine sets the payloads
  of all of them at once.)
* A delete removes the image, then its objects.

Cut short anywhere, this leaves the image with its objects as before or as after, and orphans, which searches pass over.
A writer deletes no generation but those that it has seen replaced, since another may be about to be committed. What a
crash left is deleted when a search meets it; where others may be writing, an hour after it was written: no write takes
as long.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import timedelta

import numpy as np

from adapters.repositories.qdrant import layout
from adapters.repositories.qdrant.filters import image_with_objects, object_filter, objects_of
from adapters.repositories.qdrant.points import (
    MOST_ATTEMPTS,
    VECTORS_AT_ONCE,
    Delete,
    Discard,
    HasId,
    OneOf,
    Payload,
    PointId,
    Points,
    RankedPoint,
    Scroll,
    SetPayload,
    Upsert,
    VectorQuery,
    Where,
    chunks,
    read_each,
)
from adapters.repositories.qdrant.ranking import ranked
from domain.embeddings import Embedding, Embeddings, EmbeddingSpace, normalised
from domain.errors import IndexDamagedError
from domain.images import ImageId, ImageRecord, Match
from domain.search import NearestQuery

ORPHANED_AFTER = timedelta(hours=1)
SCROLLED_AT_ONCE = 1_000

_log = logging.getLogger(__name__)


class Objects:
    """Reads and writes the objects of images, given the points of one index and their space."""

    def __init__(self, points: Points, space: EmbeddingSpace) -> None:
        self._points = points
        self._space = space
        self._orphaned_after = timedelta() if points.is_serial else ORPHANED_AFTER

    async def generations(self, images: Collection[PointId]) -> dict[PointId, layout.Generation]:
        """Which generation counts, of those images that are there."""
        payloads = await self._image_payloads(images, layout.GENERATION_FIELDS)
        return {id_: layout.Generation.of(id_, payload) for id_, payload in payloads.items()}

    async def set_metadata(self, record: ImageRecord, before: layout.Generation) -> bool:
        """Give image and objects the metadata of `record`; False, having changed nothing, if `before` counts no more.

        Raises IndexDamagedError if objects are missing.
        """
        fields = layout.metadata_payload(record.metadata)
        if self._points.is_serial:
            await self._points.write([SetPayload(fields, image_with_objects(before.image))])
            return True
        vectors = await self._vectors(before.point_ids)
        if any(id_ not in vectors for id_ in before.point_ids):
            if (await self.generations([before.image])).get(before.image) == before:
                raise IndexDamagedError(f"Objects of image {record.id} are missing. Delete it and index it again.")
            return False
        after = layout.Generation.new(record)
        copies = layout.object_points(record, after, self._stacked(vectors, before), self._space)
        unchanged = Where(must=[HasId([before.image]), OneOf(layout.GENERATION, [before.name])])
        await self._points.write([Upsert(copies), SetPayload({**fields, layout.GENERATION: after.name}, unchanged)])
        current = (await self.generations([before.image])).get(before.image)
        await self._points.write([Discard(layout.point_ids({before, after} - {current}))])
        return current == after

    async def embeddings(self, images: Collection[PointId]) -> Mapping[PointId, Embeddings | None]:
        """The objects' embeddings of those images that are there; None for an image of which some are missing."""
        found: dict[PointId, Embeddings | None] = {}
        incomplete: dict[PointId, layout.Generation] = {}
        generations = await self.generations(images)
        while generations:
            vectors = await self._vectors([id_ for generation in generations.values() for id_ in generation.point_ids])
            before, incomplete = incomplete, {}
            for image, generation in generations.items():
                if all(id_ in vectors for id_ in generation.point_ids):
                    found[image] = self._stacked(vectors, generation)
                elif before.get(image) == generation:
                    found[image] = None
                else:  # perhaps replaced between the two requests
                    incomplete[image] = generation
            generations = await self.generations(incomplete)
        return found

    async def nearest(self, query: NearestQuery) -> Sequence[Match]:
        """The port's `nearest_objects`.

        What is found is compared with its images, and looked for again without the orphans until there are none, so
        that they take no other's place in the ranking; and anew while the images change between the two requests.
        """
        orphans: dict[layout.Generation, layout.FoundObject] = {}
        for _ in range(MOST_ATTEMPTS):
            hits = await self._best_of_each(query, orphans)
            found = await read_each(lambda hit: layout.FoundObject.of(hit.payload), hits)
            page = found[query.offset :]
            images = await self._image_payloads(
                {each.generation.image for each in page}, {*layout.RECORD_FIELDS, *layout.GENERATION_FIELDS}
            )
            others = {each.image for each in orphans} | {each.generation.image for each in found[: query.offset]}
            current = {id_: layout.Generation.of(id_, payload) for id_, payload in images.items()}
            current |= await self.generations(others - current.keys())
            read = await read_each(lambda image: layout.record_of(*image), list(images.items()))
            records = {str(record.id): record for record in read if query.where.matches(record)}
            committed = {orphan for orphan in orphans if current.get(orphan.image) == orphan}
            met = {each.generation: each for each in found if current.get(each.generation.image) != each.generation}
            if not met and not committed and len(records) == len(images):
                break
            orphans = {orphan: each for orphan, each in (orphans | met).items() if orphan not in committed}
        old = [orphan for orphan, each in orphans.items() if each.is_older_than(self._orphaned_after)]
        if old:
            _log.info("Deleting the objects that %d interrupted writes left.", len(old))
            await self._points.write([Discard(layout.point_ids(old))])
        matches: list[Match] = []
        for hit, each in zip(hits[query.offset :], page, strict=True):
            record = records.get(each.generation.image)
            if record is not None and current.get(each.generation.image) == each.generation:
                matches.append(Match(score=hit.score, image=record, region=record.objects[each.index]))
        return matches

    async def _best_of_each(self, query: NearestQuery, orphans: Iterable[layout.Generation]) -> Sequence[RankedPoint]:
        """The first `query.end` images, best first, each with its best object."""
        where = object_filter(
            query.where,
            leave_out=[str(id_) for id_ in query.leave_out],
            without=layout.point_ids(orphans),
        )
        asked = VectorQuery(
            vector=query.vector,
            using=layout.object_vector(self._space),
            limit=query.end,
            where=where,
            score_threshold=query.score_threshold,
            exact=query.exact,
            fields=layout.FOUND_OBJECT_FIELDS,
        )

        async def best(query: VectorQuery) -> Sequence[RankedPoint]:
            return await self._points.query_groups(query, by=layout.OBJECT_IMAGE)

        return await ranked(
            self._points, best, asked, slice(0, query.end), lambda hit: hit.payload[layout.OBJECT_IMAGE]
        )

    async def orphans(self) -> Mapping[ImageId, int]:
        """The port's `orphaned_objects`."""
        orphans: Counter[ImageId] = Counter()
        async for some in self._orphaned(None):
            orphans.update(ImageId(found.generation.image) for found in some.values())
        return orphans

    async def sweep(self, images: Collection[PointId]) -> int:
        """The port's `sweep_objects`."""
        swept = 0
        async for some in self._orphaned(images):
            await self._points.write([Delete(list(some))])
            swept += len(some)
        return swept

    async def _orphaned(self, images: Collection[PointId] | None) -> AsyncIterator[dict[PointId, layout.FoundObject]]:
        """Old points of objects that are of no image as it is now, in groups; only of these images, if given."""
        after: PointId | None = None
        while True:
            points, after = await self._points.scroll(
                Scroll(where=objects_of(images), limit=SCROLLED_AT_ONCE, fields=layout.FOUND_OBJECT_FIELDS, after=after)
            )
            found = {point.id: layout.FoundObject.of(point.payload) for point in points}
            old = {id_: each for id_, each in found.items() if each.is_older_than(self._orphaned_after)}
            current = await self.generations({each.generation.image for each in old.values()})
            orphans = [id_ for id_, each in old.items() if current.get(each.generation.image) != each.generation]
            if orphans:  # but for those that a write has replaced between the requests
                there = await self._points.retrieve(orphans, fields=(layout.KIND,))
                yield {point.id: old[point.id] for point in there}
            if after is None:
                return

    async def _image_payloads(self, images: Collection[PointId], fields: Iterable[str]) -> dict[PointId, Payload]:
        """Of those points that are there and are images'; KIND must be among the fields."""
        points = await self._points.retrieve(images, fields=tuple(fields)) if images else ()
        return {point.id: point.payload for point in points if point.payload[layout.KIND] == layout.KIND_IMAGE}

    async def _vectors(self, ids: Collection[PointId]) -> dict[PointId, Embedding]:
        name, vectors = layout.object_vector(self._space), dict[PointId, Embedding]()
        for some in chunks(ids, VECTORS_AT_ONCE):
            points = await self._points.retrieve(some, vector=name)
            vectors |= {point.id: point.vector for point in points if point.vector is not None}
        return vectors

    def _stacked(self, vectors: Mapping[PointId, Embedding], generation: layout.Generation) -> Embeddings:
        dimension = self._space.dimension
        of_objects = [vectors[id_] for id_ in generation.point_ids]
        return normalised(np.array(of_objects, dtype=np.float32).reshape(len(of_objects), dimension))
