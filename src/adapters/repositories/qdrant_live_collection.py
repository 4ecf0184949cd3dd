"""Requests to the collection that an index has, or to the one that has taken its place."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from qdrant_client import AsyncQdrantClient, models

from adapters.repositories.qdrant_collections import Collection, QdrantCollections
from adapters.repositories.qdrant_connection import QdrantConnection
from adapters.repositories.qdrant_errors import FaultKind, QdrantFault
from adapters.repositories.tied_scores import (
    COMPARED_UP_TO,
    Scored,
    Scores,
    are_settled,
    have_ties,
    scores_of,
    widths,
)
from domain.embeddings import Embedding, normalised
from domain.errors import ConfigurationError, EmbeddingSpaceError, RepositoryUnavailableError

R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Scored)

MAX_REQUEST_BYTES = 8 * 2**20
"""A quarter of what the server takes in one request by default."""

IDS_PER_REQUEST = 1_000
VECTORS_PER_REQUEST = 200

HNSW_EF = 128
"""Candidates kept while the graph is searched; the server raises it to the window."""

_log = logging.getLogger(__name__)


class LiveCollection:
    """What a repository is bound to. When another process replaces the index, it follows to one of the same space."""

    def __init__(
        self, connection: QdrantConnection, collections: QdrantCollections, *, upsert_batch: int, live: bool = True
    ) -> None:
        self._connection = connection
        self._is_live = live
        self._collections = collections
        self._upsert_batch = upsert_batch
        self._bound: Collection | None = None

    def bind(self, collection: Collection | None) -> None:
        """Turn to a collection, or to none."""
        self._bound = collection

    def beside(self, collection: Collection) -> "LiveCollection":
        """Another one over the same connection, bound to `collection`."""
        other = LiveCollection(self._connection, self._collections, upsert_batch=self._upsert_batch, live=False)
        other.bind(collection)
        return other

    @property
    def is_bound(self) -> bool:
        """Whether there is a collection to ask."""
        return self._bound is not None

    @property
    def bound(self) -> Collection:
        """The collection that is asked."""
        if self._bound is None:
            raise RuntimeError("The repository is used before it was opened, or after it was closed.")
        return self._bound

    async def ask(self, request: Callable[[AsyncQdrantClient, Collection], Awaitable[R]]) -> R:
        """The answer of the bound collection, or of the one that took its place.

        Raises RepositoryUnavailableError, StorageFullError, InvalidFilterError, DeadlinePassedError, and
        EmbeddingSpaceError if what took its place holds other embeddings.
        """
        bound = self.bound
        try:
            try:
                return await self._connection.call(lambda client: request(client, bound))
            except QdrantFault as fault:
                # A request that was valid before may be invalid now, because the collection was made anew.
                suspect = fault.kind is FaultKind.INVALID and self._is_live
                if fault.kind is not FaultKind.MISSING and not suspect:
                    raise
                current = await self._follow(bound)
                if suspect and current == bound:
                    raise
                return await self._connection.call(lambda client: request(client, current))
        except QdrantFault as fault:
            raise fault.translated(self._connection.url) from fault

    async def write(self, request: Callable[[AsyncQdrantClient, Collection], Awaitable[models.UpdateResult]]) -> None:
        """Like `ask`, and the write is finished on return."""
        result = await self.ask(request)
        if result.status is models.UpdateStatus.WAIT_TIMEOUT:
            raise RepositoryUnavailableError(
                f"The Qdrant server at {self._connection.url} took a write, but has not finished it in time."
            )

    async def upsert(self, points: Iterable[models.PointStruct]) -> None:
        """Store points, in as many requests as it takes."""
        for batch in _batches(points, most=self._upsert_batch, dimension=self.bound.space.dimension):
            await self._upsert(batch)

    async def delete(self, ids: Iterable[UUID]) -> None:
        """Remove points; those that are not there are passed over."""
        for some in chunks(map(str, ids), IDS_PER_REQUEST):
            await self._delete(models.PointIdsList(points=[*some]))

    async def payloads(self, ids: Iterable[UUID], fields: Sequence[str] | None = None) -> dict[UUID, Mapping[str, Any]]:
        """The payloads of those points that are there; of `fields` only, if given."""
        wanted: bool | list[str] = True if fields is None else [*fields]
        return {
            point_id(point): point.payload or {}
            for some in chunks(dict.fromkeys(map(str, ids)), IDS_PER_REQUEST)
            for point in await self._retrieve(some, with_payload=wanted)
        }

    async def vectors(self, ids: Iterable[UUID], name: str) -> dict[UUID, Embedding]:
        """The vectors of that name, L2-normalised, of those points that are there and have one."""
        points = [
            point
            for some in chunks(dict.fromkeys(map(str, ids)), VECTORS_PER_REQUEST)
            for point in await self._retrieve(some, with_payload=False, with_vectors=[name])
        ]
        vectors: dict[UUID, Any] = {point_id(point): point.vector for point in points}
        return {id_: normalised(np.asarray(named[name], dtype=np.float32)) for id_, named in vectors.items() if named}

    def search_params(self, *, exact: bool) -> models.SearchParams | None:
        """How a search finds its candidates; the client's local mode knows one way only."""
        if self._connection.is_local:
            return None
        quantization = None
        if self.bound.quantized:  # candidates by the quantized vectors, their order by the original ones
            quantization = models.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=2.0)
        return models.SearchParams(hnsw_ef=None if exact else HNSW_EF, exact=exact, quantization=quantization)

    async def ranked(
        self, best: Callable[[int, bool], Awaitable[Sequence[F]]], *, end: int, exact: bool
    ) -> tuple[Sequence[F], Scores]:
        """A ranking from its start, settled up to `end`. `best(n, exact)` are its n best."""
        exact = exact or self._connection.is_local
        for attempt, width in enumerate(widths(end)):
            found = await best(width, exact)
            scores = scores_of(found)
            if not attempt and not exact and have_ties(scores) and await self._is_small():
                exact = True
            elif are_settled(scores, end, asked=width):
                break
        return found, scores

    async def _is_small(self) -> bool:
        answer = await self.ask(lambda client, to: client.count(to.name, exact=False))
        return answer.count <= COMPARED_UP_TO

    async def scrolled(self, where: models.Filter, fields: Sequence[str]) -> AsyncIterator[list[Mapping[str, Any]]]:
        """These fields of the payloads of all points that pass, in groups, in the order of their ids."""
        offset: models.ExtendedPointId | None = None
        while True:
            points, offset = await self._scroll(where, fields, offset)
            yield [point.payload or {} for point in points]
            if offset is None:
                return

    async def info(self) -> models.CollectionInfo:
        """What the server says of the collection. Raises EmbeddingSpaceError if another one has its name by now."""
        name, info = await self.ask(_named_info)
        with _told_as_a_replacement():
            _require_same_space(self._collections.described(name, info), self.bound)
        return info

    async def facet(self, key: str, where: models.Filter) -> Mapping[str | int, int]:
        """How many of the points that pass have each value of `key`, exactly."""
        limit = 1_000
        while len(hits := await self._facet(key, where, limit)) == limit:
            limit *= 10  # there may be more values than were asked for
        return {hit.value: hit.count for hit in hits}

    async def _upsert(self, points: Sequence[models.PointStruct]) -> None:
        await self.write(lambda client, to: client.upsert(to.name, points, ordering=to.ordering))

    async def _delete(self, selector: models.PointIdsList) -> None:
        await self.write(lambda client, to: client.delete(to.name, selector, ordering=to.ordering))

    async def _retrieve(
        self, ids: Sequence[str], *, with_payload: bool | list[str], with_vectors: bool | list[str] = False
    ) -> Sequence[models.Record]:
        return await self.ask(
            lambda client, to: client.retrieve(to.name, ids, with_payload=with_payload, with_vectors=with_vectors)
        )

    async def _scroll(
        self, where: models.Filter, fields: Sequence[str], offset: models.ExtendedPointId | None
    ) -> tuple[Sequence[models.Record], models.ExtendedPointId | None]:
        return await self.ask(
            lambda client, to: client.scroll(
                to.name, scroll_filter=where, limit=IDS_PER_REQUEST, offset=offset, with_payload=[*fields]
            )
        )

    async def _facet(self, key: str, where: models.Filter, limit: int) -> Sequence[models.FacetValueHit]:
        answer = await self.ask(
            lambda client, to: client.facet(to.name, key, facet_filter=where, limit=limit, exact=True)
        )
        return answer.hits

    async def _follow(self, before: Collection) -> Collection:
        """Bind to what the index is now."""
        with _told_as_a_replacement():
            live = await self._collections.live()
        if live is None:
            raise RepositoryUnavailableError(
                f"The collection {before.name!r} was deleted from the Qdrant server. Restore it from a snapshot; or "
                "start again, with an empty index, and index the pictures anew."
            )
        _require_same_space(live, before)
        if live != before:
            _log.info("The index was replaced by %s; following.", live.name)
            self._bound = live
        return live


@contextmanager
def _told_as_a_replacement() -> Iterator[None]:
    """What would be a mistake in the deployment at a start was right then, so that it must have come since."""
    try:
        yield
    except ConfigurationError as error:
        raise EmbeddingSpaceError(f"The index was replaced while this process served it. {error}") from error


def _require_same_space(now: Collection, before: Collection) -> None:
    if now.space != before.space:
        differences = now.space.differences(before.space, ("now", "before"))
        raise EmbeddingSpaceError(
            f"The index was replaced by one of another space while this process served it: {differences}. Start again "
            "with the encoder that it was rebuilt for."
        )


async def _named_info(client: AsyncQdrantClient, to: Collection) -> tuple[str, models.CollectionInfo]:
    return to.name, await client.get_collection(to.name)


def point_id(point: models.Record | models.ScoredPoint) -> UUID:
    """The id of a point of ours."""
    return UUID(str(point.id))


def _batches(points: Iterable[models.PointStruct], *, most: int, dimension: int) -> Iterator[list[models.PointStruct]]:
    """Points in batches of at most `most`, and of about MAX_REQUEST_BYTES."""
    batch: list[models.PointStruct] = []
    size = 0
    for point in points:
        bytes_ = 20 * dimension + _size(point.payload)  # REST writes a number of a vector in up to 20 characters
        if batch and (len(batch) == most or size + bytes_ > MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += bytes_
    if batch:
        yield batch


def _size(value: object) -> int:
    """About how many bytes a payload takes in a request."""
    match value:
        case str():
            return 3 * len(value)
        case dict():
            return sum(_size(key) + _size(item) for key, item in value.items())
        case list():
            return sum(map(_size, value))
        case _:
            return 16


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
