"""The objects of images on a Qdrant server (see object_payload.py for their layout).

No request of a server spans points atomically, so that every write is built around the one point of an image:

* An upsert writes the new generation of objects, then the image, then deletes the generation that it replaced.
* New metadata makes a new generation too, and the image takes it up only if it still has the old one: objects and image
  never differ in what filters compare, whatever else is written at the same time.
* A delete removes the image, then its objects.

Cut short anywhere, this leaves the image with its objects as before or as after, and orphans, which searches pass over.
A writer deletes no generation but those that it has seen replaced, since another may be about to be committed. What a
crash left is deleted when a search meets it, an hour after it was written: no write takes as long.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import numpy as np
from qdrant_client import models

from adapters.repositories.filter_compiler import compile_object_filter
from adapters.repositories.object_payload import (
    FOUND_OBJECT_FIELDS,
    GENERATION_FIELDS,
    OBJECT_VECTOR_NAME,
    FoundObject,
    Generation,
    object_payloads,
)
from adapters.repositories.payload import KIND, KIND_IMAGE, KIND_OBJECT, OBJECT_IMAGE, record_of
from adapters.repositories.qdrant_dialect import QDRANT
from adapters.repositories.qdrant_live_collection import LiveCollection
from adapters.repositories.tied_scores import in_order
from domain.embeddings import Embedding, Embeddings
from domain.errors import IndexDamagedError, LookalikeError
from domain.filters import Filter
from domain.images import ImageId, ImageRecord, Match

ORPHANED_AFTER = timedelta(hours=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectQuery:
    """What a search for objects asks for, as the port has it."""

    vector: list[float]
    limit: int
    offset: int
    score_threshold: float | None
    where: Filter
    leave_out: Collection[ImageId]
    exact: bool


@dataclass(frozen=True, slots=True)
class _Hit:
    """The object of an image that is most like the query."""

    found: FoundObject
    score: float

    @property
    def generation(self) -> Generation:
        return self.found.generation

    @property
    def image(self) -> ImageId:
        return self.found.generation.image


def object_points(record: ImageRecord, generation: Generation, embeddings: Embeddings) -> Sequence[models.PointStruct]:
    """The points of a record's objects. `embeddings` has shape (len(record.objects), dimension)."""
    payloads = object_payloads(record, generation)
    return [
        models.PointStruct(id=str(id_), vector={OBJECT_VECTOR_NAME: vector.tolist()}, payload=payload)
        for id_, vector, payload in zip(generation.point_ids, embeddings, payloads, strict=True)
    ]


class QdrantObjects:
    """Reads and writes the points of objects."""

    def __init__(self, collection: LiveCollection) -> None:
        self._collection = collection

    async def generations(self, ids: Iterable[ImageId]) -> dict[ImageId, Generation]:
        """Which generation counts, of those images that are there."""
        payloads = await self._collection.payloads(ids, GENERATION_FIELDS)
        return {id_: Generation.of(id_, payload) for id_, payload in payloads.items() if payload[KIND] == KIND_IMAGE}

    async def discard(self, generations: Iterable[Generation]) -> None:
        """Remove the objects of generations that do not count.

        Comes after a write is committed, hence does not fail it: what is left are orphans.
        """
        try:
            await self.remove(generations)
        except LookalikeError as error:
            _log.warning("Objects that a write has replaced or deleted are left for later: %s", error)

    async def copy(self, record: ImageRecord, *, before: Generation, after: Generation) -> bool:
        """Write the objects of `before` again, as those of `record` and of `after`; not if it is replaced by now.

        Raises IndexDamagedError if objects are missing.
        """
        vectors = await self._collection.vectors(before.point_ids, OBJECT_VECTOR_NAME)
        if any(id_ not in vectors for id_ in before.point_ids):
            if (await self.generations([record.id])).get(record.id) == before:
                raise _missing_objects(record.id)
            return False
        embeddings = np.array([vectors[id_] for id_ in before.point_ids])
        await self._collection.upsert(object_points(record, after, embeddings))
        return True

    async def embeddings(self, ids: Iterable[ImageId]) -> Mapping[ImageId, Embeddings]:
        """Of those images that are there. Raises IndexDamagedError if objects are missing."""
        found: dict[ImageId, Embeddings] = {}
        incomplete: dict[ImageId, Generation] = {}
        generations = await self.generations(ids)
        while generations:
            vectors = await self._collection.vectors(
                (id_ for generation in generations.values() for id_ in generation.point_ids), OBJECT_VECTOR_NAME
            )
            before, incomplete = incomplete, {}
            for image, generation in generations.items():
                if all(id_ in vectors for id_ in generation.point_ids):
                    found[image] = self._stacked([vectors[id_] for id_ in generation.point_ids])
                elif before.get(image) == generation:
                    raise _missing_objects(image)
                else:  # replaced between the two requests
                    incomplete[image] = generation
            generations = await self.generations(incomplete)
        return found

    async def nearest(self, query: ObjectQuery) -> Sequence[Match]:
        """See the port's `nearest_objects`.

        What is found is compared with its images, and looked for again without the orphans until there are none, so
        that they take nobody's place in the ranking.
        """
        orphans: dict[Generation, FoundObject] = {}
        while True:
            hits = await self._best_of_each(query, orphans)
            page, before = hits[query.offset :], hits[: query.offset]
            images, others = await asyncio.gather(
                self._collection.payloads(hit.image for hit in page),
                self.generations([*(hit.image for hit in before), *(orphan.image for orphan in orphans)]),
            )
            current = others | {id_: Generation.of(id_, payload) for id_, payload in images.items()}
            committed = {orphan for orphan in orphans if current.get(orphan.image) == orphan}
            met = {hit.generation: hit.found for hit in hits if current.get(hit.image) != hit.generation}
            if not met and not committed:
                break
            orphans = {orphan: found for orphan, found in (orphans | met).items() if orphan not in committed}
        await self._sweep(orphans)
        records = {id_: record_of(id_, payload) for id_, payload in images.items()}
        return [
            Match(
                score=hit.score,
                image=records[hit.image],
                region=records[hit.image].objects[hit.found.index],
            )
            for hit in page
        ]

    async def _best_of_each(self, query: ObjectQuery, orphans: Iterable[Generation]) -> Sequence[_Hit]:
        """The first `offset + limit` images, best first, each with its best object."""
        end = query.offset + query.limit
        left_out = [id_ for orphan in orphans for id_ in orphan.point_ids]

        async def best(width: int, exact: bool) -> Sequence[_Hit]:
            return await self._best(query, width, exact, left_out)

        found, scores = await self._collection.ranked(best, end=end, exact=query.exact)
        places = in_order(scores, slice(0, end), lambda place: found[place].image)
        return [replace(found[place], score=float(scores[place])) for place in places]

    async def _best(self, query: ObjectQuery, wanted: int, exact: bool, orphans: Sequence[UUID]) -> Sequence[_Hit]:
        """The `wanted` best images, best first.

        The server may answer with fewer groups than it has, where a few images have many of the nearest objects; it is
        asked for more until it has none.
        """
        hits: list[_Hit] = []
        while len(hits) < wanted and (more := await self._groups(query, wanted - len(hits), exact, hits, orphans)):
            hits += more
        return sorted(hits, key=lambda hit: -hit.score)

    async def _groups(
        self, query: ObjectQuery, limit: int, exact: bool, have: Sequence[_Hit], orphans: Sequence[UUID]
    ) -> Sequence[_Hit]:
        leave_out = [*query.leave_out, *(hit.image for hit in have)]
        answer = await self._collection.ask(
            lambda client, to: client.query_points_groups(
                to.name,
                group_by=OBJECT_IMAGE,
                query=query.vector,
                using=OBJECT_VECTOR_NAME,
                query_filter=compile_object_filter(query.where, QDRANT, leave_out=leave_out, orphans=orphans),
                search_params=self._collection.search_params(exact=exact),
                score_threshold=query.score_threshold,
                limit=limit,
                group_size=1,
                with_payload=[*FOUND_OBJECT_FIELDS],
            )
        )
        best = [group.hits[0] for group in answer.groups]
        return [_Hit(FoundObject.of(point.payload or {}), point.score) for point in best]

    async def orphans(self, of: Collection[ImageId] | None = None) -> Collection[Generation]:
        """Old generations of objects that are of no image as it is now; only `of` these images, if given."""
        if of is None:
            which = models.FieldCondition(key=KIND, match=models.MatchValue(value=KIND_OBJECT))
        else:
            which = models.FieldCondition(key=OBJECT_IMAGE, match=models.MatchAny(any=[str(id_) for id_ in of]))
        orphans: set[Generation] = set()
        async for payloads in self._collection.scrolled(models.Filter(must=[which]), FOUND_OBJECT_FIELDS):
            found = map(FoundObject.of, payloads)
            old = {item.generation for item in found if item.is_older_than(ORPHANED_AFTER)} - orphans
            current = await self.generations({generation.image for generation in old})
            orphans |= {generation for generation in old if current.get(generation.image) != generation}
        return orphans

    async def _sweep(self, orphans: Mapping[Generation, FoundObject]) -> None:
        """Delete what crashes left. Should that fail, the search that met it succeeds all the same."""
        old = [generation for generation, found in orphans.items() if found.is_older_than(ORPHANED_AFTER)]
        if not old:
            return
        try:
            await self.remove(old)
            _log.info("Deleted the objects that %d interrupted writes left.", len(old))
        except LookalikeError as error:
            _log.warning("The objects that %d interrupted writes left could not be deleted: %s", len(old), error)

    async def remove(self, generations: Iterable[Generation]) -> None:
        """Remove the objects of generations that do not count. Raises what a request raises."""
        await self._collection.delete(id_ for generation in generations for id_ in generation.point_ids)

    def _stacked(self, vectors: Sequence[Embedding]) -> Embeddings:
        dimension = self._collection.bound.space.dimension
        return np.array(vectors, dtype=np.float32).reshape(len(vectors), dimension)


def _missing_objects(image: ImageId) -> IndexDamagedError:
    return IndexDamagedError(f"Objects of image {image} are missing. Delete it and index it again.")
