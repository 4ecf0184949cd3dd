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
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from adapters.repositories.qdrant import layout
from adapters.repositories.qdrant import points as words
from adapters.repositories.qdrant.filters import image_with_objects, object_filter, objects_of
from adapters.repositories.qdrant.layout import Generation
from adapters.repositories.qdrant.points import Discard, FoundPoint, PointId, Points, VectorQuery
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

    async def images(self, ids: Collection[PointId], fields: Collection[str]) -> Sequence[FoundPoint]:
        """Those of the points that are there and are images'; KIND must be among the fields."""
        points = await self._points.retrieve(ids, fields=tuple(fields)) if ids else ()
        return [point for point in points if point.payload[layout.KIND] == layout.KIND_IMAGE]

    async def generations(self, images: Collection[PointId]) -> dict[PointId, Generation]:
        """Which generation counts, of those images that are there."""
        return {point.id: Generation.of(point) for point in await self.images(images, layout.GENERATION_FIELDS)}

    async def set_metadata(self, record: ImageRecord, before: Generation) -> bool:
        """Give image and objects the metadata of `record`; False, having changed nothing, if `before` counts no more.

        Raises IndexDamagedError if objects are missing.
        """
        fields = layout.metadata_payload(record.metadata)
        if self._points.is_serial:
            await self._points.write([words.SetPayload(fields, image_with_objects(before.image))])
            return True
        embeddings = self._stacked(await self._vectors(before.point_ids), before)
        if embeddings is None:
            if (await self.generations([before.image])).get(before.image) == before:
                raise IndexDamagedError(f"Objects of image {record.id} are missing. Delete it and index it again.")
            return False
        after = Generation.new(record)
        copies = layout.object_points(record, after, embeddings, self._space)
        unchanged = words.Where(must=[words.HasId([before.image]), words.OneOf(layout.GENERATION, [before.name])])
        fields[layout.GENERATION] = after.name
        await self._points.write([words.Upsert(copies), words.SetPayload(fields, unchanged)])
        current = (await self.generations([before.image])).get(before.image)
        await self._points.write([Discard(layout.point_ids({before, after} - {current}))])
        return current == after

    async def embeddings(self, images: Collection[PointId]) -> Mapping[PointId, Embeddings | None]:
        """The objects' embeddings of those images that are there; None for an image of which some are missing."""
        found: dict[PointId, Embeddings | None] = {}
        incomplete: dict[PointId, Generation] = {}
        generations = await self.generations(images)
        while generations:
            vectors = await self._vectors([id_ for generation in generations.values() for id_ in generation.point_ids])
            before, incomplete = incomplete, {}
            for image, generation in generations.items():
                embeddings = self._stacked(vectors, generation)
                if embeddings is not None or before.get(image) == generation:
                    found[image] = embeddings
                else:  # perhaps replaced between the two requests
                    incomplete[image] = generation
            generations = await self.generations(incomplete)
        return found

    async def nearest(self, query: NearestQuery) -> Sequence[Match]:
        """The port's `nearest_objects`.

        What is found is compared with its images, and looked for again without the orphans until there are none, so
        that they take no other's place in the ranking; and anew while the images change between the two requests.
        """
        orphans: set[Generation] = set()
        for _ in range(words.MOST_ATTEMPTS):
            hits = await self._best_of_each(query, orphans)
            found = await words.read_each(Generation.of, hits)
            page = found[query.offset :]
            images = await self.images(
                {each.image for each in page}, {*layout.RECORD_FIELDS, *layout.GENERATION_FIELDS}
            )
            current = {point.id: Generation.of(point) for point in images}
            current |= await self.generations(
                {each.image for each in (*orphans, *found[: query.offset])} - current.keys()
            )
            read = await words.read_each(layout.record_of, images)
            records = {str(record.id): record for record in read if query.where.matches(record)}
            committed = {orphan for orphan in orphans if current.get(orphan.image) == orphan}
            met = {each for each in found if current.get(each.image) != each}
            if not met and not committed and len(records) == len(images):
                break
            orphans = (orphans | met) - committed
        old = [orphan for orphan in orphans if orphan.is_older_than(self._orphaned_after)]
        if old:
            _log.info("Deleting the objects that %d interrupted writes left.", len(old))
            await self._points.write([Discard(layout.point_ids(old))])
        return [
            Match(score=hit.score, image=record, region=record.objects[hit.payload[layout.OBJECT_INDEX]])
            for hit, each in zip(hits[query.offset :], page, strict=True)
            if (record := records.get(each.image)) is not None and current[each.image] == each
        ]

    async def _best_of_each(self, query: NearestQuery, orphans: Collection[Generation]) -> Sequence[FoundPoint]:
        """The first `query.end` images, best first, each with its best object."""
        leave_out, without = [str(id_) for id_ in query.leave_out], layout.point_ids(orphans)
        where = object_filter(query.where, leave_out=leave_out, without=without)
        fields = (*layout.GENERATION_FIELDS, layout.OBJECT_INDEX)
        asked = VectorQuery.of(query, using=layout.object_vector(self._space), where=where, fields=fields)

        async def best(query: VectorQuery) -> Sequence[FoundPoint]:
            return await self._points.query_groups(query, by=layout.OBJECT_IMAGE)

        return await ranked(
            self._points, best, asked, slice(0, query.end), lambda hit: hit.payload[layout.OBJECT_IMAGE]
        )

    async def orphans(self) -> Mapping[ImageId, int]:
        """The port's `orphaned_objects`."""
        orphans: Counter[ImageId] = Counter()
        async for some in self._orphaned(None):
            orphans.update(ImageId(point.payload[layout.OBJECT_IMAGE]) for point in some)
        return orphans

    async def sweep(self, images: Collection[PointId]) -> int:
        """The port's `sweep_objects`."""
        swept = 0
        async for some in self._orphaned(images):
            await self._points.write([words.Delete([point.id for point in some])])
            swept += len(some)
        return swept

    async def _orphaned(self, images: Collection[PointId] | None) -> AsyncIterator[Sequence[FoundPoint]]:
        """Old points of objects that are of no image as it is now, in groups; only of these images, if given."""
        scroll = words.Scroll(where=objects_of(images), limit=SCROLLED_AT_ONCE, fields=layout.GENERATION_FIELDS)
        while True:
            points, after = await self._points.scroll(scroll)
            generations = {point.id: Generation.of(point) for point in points}
            old = {id_: each for id_, each in generations.items() if each.is_older_than(self._orphaned_after)}
            current = await self.generations({each.image for each in old.values()})
            orphans = [id_ for id_, each in old.items() if current.get(each.image) != each]
            if orphans:  # but for those that a write has replaced between the requests
                yield await self._points.retrieve(orphans, fields=(layout.OBJECT_IMAGE,))
            if after is None:
                return
            scroll = replace(scroll, after=after)

    async def _vectors(self, ids: Collection[PointId]) -> dict[PointId, Embedding]:
        name, vectors = layout.object_vector(self._space), dict[PointId, Embedding]()
        for some in words.chunks(ids, words.VECTORS_AT_ONCE):
            points = await self._points.retrieve(some, vector=name)
            vectors |= {point.id: point.vector for point in points if point.vector is not None}
        return vectors

    def _stacked(self, vectors: Mapping[PointId, Embedding], generation: Generation) -> Embeddings | None:
        """The embeddings of the generation's objects, in their order; None where some are missing."""
        of_objects = [vectors[id_] for id_ in generation.point_ids if id_ in vectors]
        if len(of_objects) < generation.object_count:
            return None
        return normalised(np.array(of_objects, dtype=np.float32).reshape(len(of_objects), self._space.dimension))
