"""What is read of the engine's shard, in the process that owns it."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import qdrant_edge as engine

from adapters.repositories.edge.dialect import EDGE, all_objects
from adapters.repositories.edge.object_groups import HIT_FIELDS, Hit, ObjectGroups
from adapters.repositories.edge.records import ImageHit, Payload, StoredImage
from adapters.repositories.edge.requests import Nearest
from adapters.repositories.filter_compiler import compile_filter, compile_image_filter, compile_object_filter
from adapters.repositories.object_payload import (
    GENERATION_FIELDS,
    OBJECT_VECTOR_NAME,
    Generation,
)
from adapters.repositories.payload import (
    GENERATION,
    KIND,
    KIND_IMAGE,
    OBJECT_COUNT,
    OBJECT_IMAGE,
    RECORD_FIELDS,
    VECTOR_NAME,
)
from adapters.repositories.tied_scores import (
    COMPARED_UP_TO,
    Scored,
    Scores,
    are_settled,
    have_ties,
    in_order,
    scores_of,
    widths,
)
from domain.filters import EVERYTHING, Filter

F = TypeVar("F", bound=Scored)

HNSW_EF = 256
OVERSAMPLING = 4.0
"""Recall@10 of 10,000 vectors of 1280: 1.0 for queries like the stored ones, .96 for random directions, in 0.9 ms; with
128 and 2.0 it was .996 and .89 in 0.7 ms."""

_IMAGE_FIELDS = (KIND, GENERATION, *RECORD_FIELDS)

_FIRST_FACETS = 4096


class MissingObjectsError(Exception):
    """An image has fewer objects than its point says."""


class ShardReads:
    """Answers from one shard. Raises the engine's exceptions, which are plain `Exception`s of text."""

    def __init__(self, shard: engine.EdgeShard) -> None:
        self._shard = shard

    def get(self, ids: Sequence[UUID]) -> list[StoredImage]:
        """The images that are there."""
        return [StoredImage(id_, payload) for id_, payload in self.image_payloads(ids).items()]

    def vectors(self, ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """The vectors that are there, as float32."""
        return self._vectors(ids, VECTOR_NAME)

    def object_vectors(self, ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """For each image that is there the vectors of its objects, in their order, as float32.

        Raises MissingObjectsError.
        """
        points = {id_: generation.point_ids for id_, generation in self.generations(ids).items()}
        vectors = self._vectors([point for of_image in points.values() for point in of_image], OBJECT_VECTOR_NAME)
        for id_, of_image in points.items():
            if not all(point in vectors for point in of_image):
                raise MissingObjectsError(f"Objects of image {id_} are missing. Delete it and index it again.")
        return {id_: b"".join(vectors[point] for point in of_image) for id_, of_image in points.items()}

    def _vectors(self, ids: Sequence[UUID], name: str) -> dict[UUID, bytes]:
        return {
            _uuid(point): np.asarray(point.vector[name], dtype=np.float32).tobytes()  # type: ignore[index,call-overload]
            for point in self._shard.retrieve(list(ids), False, [name])
            if name in point.vector  # type: ignore[operator]
        }

    def generations(self, ids: Collection[UUID]) -> dict[UUID, Generation]:
        """Which objects count, of those images that are there."""
        payloads = self.image_payloads(ids, GENERATION_FIELDS)
        return {id_: Generation.of(id_, payload) for id_, payload in payloads.items()}

    def orphans(self, after: UUID | None, limit: int) -> tuple[dict[UUID, int], UUID | None]:
        """Among `limit` objects, in the order of their ids from `after` on, those of no image as it is now.

        Their number by image, and where to go on; None at the end.
        """
        points, rest = self._shard.scroll(
            engine.ScrollRequest(
                limit=limit,
                offset=after,
                filter=all_objects(),
                with_payload=_only((OBJECT_IMAGE, GENERATION)),
                with_vector=False,
            )
        )
        written = [(UUID(payload[OBJECT_IMAGE]), payload[GENERATION]) for payload in map(_payload, points)]
        current = self.generations({image for image, _ in written})
        orphans = Counter(image for image, name in written if image not in current or current[image].name != name)
        return dict(orphans), None if rest is None else UUID(str(rest))

    def image_payloads(self, ids: Collection[UUID], fields: Collection[str] = _IMAGE_FIELDS) -> dict[UUID, Payload]:
        """Of those points that are there and are images'; KIND must be among the fields."""
        points = self._shard.retrieve(list(ids), _only(fields), False)
        found = {_uuid(point): _payload(point) for point in points}
        return {id_: payload for id_, payload in found.items() if payload[KIND] == KIND_IMAGE}

    def newest(self, where: Filter, limit: int) -> list[StoredImage]:
        """The newest images that match."""
        by_time = engine.OrderBy("created_at", engine.Direction.Desc)
        points, _ = self._shard.scroll(
            engine.ScrollRequest(
                limit=limit,
                filter=compile_image_filter(where, EDGE),
                with_payload=_only(RECORD_FIELDS),
                with_vector=False,
                order_by=by_time,
            )
        )
        return [StoredImage(_uuid(point), _payload(point)) for point in points]

    def nearest(self, request: Nearest) -> list[ImageHit]:
        """Hits, best first; scores are cosines of the original vectors, though int8 copies find the candidates."""
        compiled = compile_filter(request.where, EDGE, leave_out=request.leave_out)

        def best(limit: int, exact: bool) -> Sequence[engine.ScoredPoint]:
            return self._query(request, VECTOR_NAME, compiled, limit=limit, exact=exact)

        found, scores = self._ranked(request, best)
        places = in_order(scores, request.window, lambda place: _uuid(found[place]))
        page = {_uuid(found[place]): float(scores[place]) for place in places}
        points = self._shard.retrieve(list(page), _only(RECORD_FIELDS), False)
        payloads = {_uuid(point): _payload(point) for point in points}
        return [ImageHit(id_, payloads[id_], score) for id_, score in page.items()]

    def nearest_objects(self, request: Nearest) -> tuple[list[ImageHit], Collection[Any]]:
        """Hits, best first, each image once by its best object; and the orphans that were met on the way."""
        compiled = compile_object_filter(request.where, EDGE, leave_out=request.leave_out)
        groups = ObjectGroups(self.image_payloads)

        def best(limit: int, exact: bool) -> Sequence[ImageHit]:
            def hits(limit: int) -> Sequence[Hit]:
                return self._query(
                    request, OBJECT_VECTOR_NAME, compiled, limit=limit, exact=exact, fields=_only(HIT_FIELDS)
                )

            return groups.best(hits, wanted=limit)

        found, scores = self._ranked(request, best)
        places = in_order(scores, request.window, lambda place: found[place].id)
        return [found[place]._replace(score=float(scores[place])) for place in places], groups.orphans

    def _ranked(self, request: Nearest, best: Callable[[int, bool], Sequence[F]]) -> tuple[Sequence[F], Scores]:
        """A ranking from its start, settled up to the window's end. `best(n, exact)` are its n best."""
        end, exact = request.window.stop, request.exact
        for attempt, width in enumerate(widths(end)):
            found = best(width, exact)
            scores = scores_of(found)
            if not attempt and not exact and have_ties(scores) and self._is_small():
                exact = True
            elif are_settled(scores, end, asked=width):
                break
        return found, scores

    def _is_small(self) -> bool:
        return self._shard.info().points_count <= COMPARED_UP_TO

    def _query(
        self,
        request: Nearest,
        vector_name: str,
        compiled: engine.Filter | None,
        *,
        limit: int,
        exact: bool,
        fields: engine.PayloadSelector | bool = False,
    ) -> list[engine.ScoredPoint]:
        quantization = engine.QuantizationSearchParams(
            ignore=exact, rescore=True, oversampling=None if exact else OVERSAMPLING
        )
        return self._shard.query(
            engine.QueryRequest(
                limit=limit,
                query=engine.Query.Nearest(np.frombuffer(request.vector, np.float32).tolist(), using=vector_name),
                filter=compiled,
                score_threshold=request.score_threshold,
                with_payload=fields,
                params=engine.SearchParams(hnsw_ef=HNSW_EF, exact=exact, quantization=quantization),
            )
        )

    def count(self, where: Filter) -> int:
        """How many records match."""
        return self._shard.count(engine.CountRequest(exact=True, filter=compile_image_filter(where, EDGE)))

    def count_labels(self, where: Filter) -> dict[str, int]:
        """How many records show each label."""
        return {str(label): count for label, count in self._facets("labels", where).items()}

    def counts(self) -> tuple[int, int]:
        """How many images there are, and how many objects they have."""
        images_by_count = self._facets(OBJECT_COUNT, EVERYTHING)
        return sum(images_by_count.values()), sum(count * images for count, images in images_by_count.items())

    def _facets(self, path: str, where: Filter) -> dict[Any, int]:
        """How many records have each value at `path`."""
        limit, compiled = _FIRST_FACETS, compile_image_filter(where, EDGE)
        while True:
            hits = self._shard.facet(engine.FacetRequest(path, limit=limit, exact=True, filter=compiled)).hits
            if len(hits) < limit:
                return {hit.value: hit.count for hit in hits if hit.count}  # values of before come with 0
            limit *= 8


def _only(fields: Collection[str]) -> engine.PayloadSelector:
    return engine.PayloadSelector.Include(list(fields))


def _uuid(point: Any) -> UUID:  # noqa: ANN401 - Record and ScoredPoint share no type
    return point.id if isinstance(point.id, UUID) else UUID(str(point.id))


def _payload(point: Any) -> Payload:  # noqa: ANN401
    payload: Payload = point.payload
    return payload
