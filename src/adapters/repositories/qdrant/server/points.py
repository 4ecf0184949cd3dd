"""The verbs as a Qdrant server answers them, of the collection that an index has or of the one that took its place."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

from qdrant_client import AsyncQdrantClient, models
from typing_extensions import override

from adapters.repositories.qdrant import points as words
from adapters.repositories.qdrant.dialect import Dialect
from adapters.repositories.qdrant.layout import KIND
from adapters.repositories.qdrant.points import FoundPoint, PointId, Points, VectorQuery, Where
from adapters.repositories.qdrant.server.collections import QdrantCollection, QdrantCollections
from adapters.repositories.qdrant.server.faults import FaultKind, QdrantFault
from domain.errors import LookalikeError, RepositoryUnavailableError

R = TypeVar("R")
UpdateResults = models.UpdateResult | list[models.UpdateResult]

POINTS_PER_REQUEST = 64
"""Half of the 32 MB that a server takes in one request by default, where each has vectors of 4,096, all the metadata
that is allowed and 100 objects; typically 2 MB."""

IDS_PER_REQUEST = 1_000

HNSW_EF = 128
"""Candidates kept while the graph is searched; the server raises it to the window."""

OVERSAMPLING = 2.0

_FIRST_FACETS = 1_000

_PAUSE_SECONDS = 0.002
"""Before something is asked once more, and so much longer before each further time."""

_log = logging.getLogger(__name__)


class ServerPoints(Points):
    """Requests to the collection that it is bound to, and follows when another process replaces it by a like one.

    A server finds points first and reads their payloads afterwards: a point that is deleted or replaced in between
    comes with nothing in its payload, or with no more than the field grouped by. It is gone, and others are in its
    place, or itself as it is now: the server is asked anew.
    """

    is_serial = False

    def __init__(self, collections: QdrantCollections, collection: QdrantCollection, *, is_live: bool = True) -> None:
        self._connection = collections.connection
        self._collections = collections
        self.collection = collection
        """What is asked."""
        self.space = collection.space
        self._is_live = is_live

    @override
    async def count(self, where: Where, *, exact: bool = True) -> int:
        answer = await self._ask(AsyncQdrantClient.count, count_filter=_filter(where), exact=exact)
        return answer.count

    @override
    async def facet(self, path: str, where: Where) -> Mapping[str | int, int]:
        which, limit = _filter(where), _FIRST_FACETS
        while True:
            answer = await self._ask(AsyncQdrantClient.facet, path, facet_filter=which, limit=limit, exact=True)
            if len(answer.hits) < limit:
                return {hit.value: hit.count for hit in answer.hits}
            limit *= 10  # there may be more values than were asked for

    @override
    async def query(self, query: VectorQuery) -> Sequence[FoundPoint]:
        if query.group_by is not None:
            return await self._query_groups(query, query.group_by)
        request, asked = AsyncQdrantClient.query_points, _nearest(query)
        if not query.fields:
            return _DIALECT.found((await self._ask(request, with_payload=False, **asked)).points)
        found, _ = await self._undisturbed(
            request, lambda answer: answer.points, fields=query.fields, drop=True, **asked
        )
        return found

    async def _query_groups(self, query: VectorQuery, by: str) -> Sequence[FoundPoint]:
        """The server may answer with fewer groups than it has, where a few have many of the nearest points.

        It is asked for more until it has none.
        """
        best: list[FoundPoint] = []
        while len(best) < query.limit:
            have = words.OneOf(by, [str(point.payload[by]) for point in best])
            where = Where(must=[query.where], must_not=[have]) if best else query.where
            more, _ = await self._undisturbed(
                AsyncQdrantClient.query_points_groups,
                lambda answer: [group.hits[0] for group in answer.groups],
                fields=(*query.fields, by),
                drop=True,
                group_by=by,
                group_size=1,
                **_nearest(replace(query, where=where, limit=query.limit - len(best))),
            )
            if not more:
                break
            best += more
        return sorted(best, key=lambda point: -point.score)

    @override
    async def retrieve(
        self, ids: Collection[PointId], *, fields: Sequence[str] = (), vector: str | None = None
    ) -> Sequence[FoundPoint]:
        found, _ = await self._undisturbed(
            AsyncQdrantClient.retrieve,
            lambda answer: answer,
            fields=fields,
            ids=list(ids),
            with_vectors=[vector] if vector else False,
        )
        return [point for point in found if vector is None or point.vector is not None]

    @override
    async def scroll(self, scroll: words.Scroll) -> tuple[Sequence[FoundPoint], PointId | None]:
        order = None
        if scroll.order_by is not None:
            direction = models.Direction.DESC if scroll.is_descending else models.Direction.ASC
            order = models.OrderBy(key=scroll.order_by, direction=direction, start_from=scroll.start_from)
        found, (_, rest) = await self._undisturbed(
            AsyncQdrantClient.scroll,
            lambda answer: answer[0],
            fields=scroll.fields,
            scroll_filter=_filter(scroll.where),
            limit=scroll.limit,
            offset=scroll.after,
            order_by=order,
        )
        return found, None if rest is None else str(rest)

    async def _undisturbed(
        self,
        request: Callable[..., Awaitable[R]],
        points_in: Callable[[R], Sequence[models.Record | models.ScoredPoint]],
        *,
        fields: Sequence[str],
        drop: bool = False,
        **kwargs: object,
    ) -> tuple[list[FoundPoint], R]:
        """What a request finds while no point of it is deleted; at last, of a ranking, what is left of it (`drop`).

        A scroll or a retrieval must not lack a point that is there: it raises RepositoryUnavailableError at last.
        """
        for attempt in range(words.MOST_ATTEMPTS):
            await asyncio.sleep(attempt * _PAUSE_SECONDS)
            answer = await self._ask(request, with_payload=list({*fields, KIND}), **kwargs)
            found = _DIALECT.found(points_in(answer))
            # Every point of ours has a kind: these were still there when their payloads were read.
            whole = [point for point in found if KIND in point.payload]
            if len(whole) == len(found) or (drop and attempt == words.MOST_ATTEMPTS - 1):
                return whole, answer
        raise RepositoryUnavailableError("The index changes faster than it can be read.")

    @override
    async def write(self, operations: words.Write) -> None:
        """Each operation is one request or more; payloads that are set one after the other share one."""
        for is_setting, some in groupby(operations, lambda operation: isinstance(operation, words.SetPayload)):
            if is_setting:
                await self._set_payloads(some)  # type: ignore[arg-type]
                continue
            for operation in some:
                await self._apply(operation)

    async def _set_payloads(self, operations: Iterable[words.SetPayload]) -> None:
        for some in words.chunks(operations, POINTS_PER_REQUEST):
            batch = [
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(payload=each.payload, filter=_filter(each.which))
                )
                for each in some
            ]
            await self._write(AsyncQdrantClient.batch_update_points, batch)

    async def _apply(self, operation: words.Operation) -> None:
        match operation:
            case words.Upsert(points):
                for batch in words.chunks(points, POINTS_PER_REQUEST):
                    structs = [
                        models.PointStruct(
                            id=each.id, vector={each.vector_name: each.vector.tolist()}, payload=each.payload
                        )
                        for each in batch
                    ]
                    await self._write(AsyncQdrantClient.upsert, structs)
            case words.Delete(ids):
                for some in words.chunks(ids, IDS_PER_REQUEST):
                    await self._write(AsyncQdrantClient.delete, models.PointIdsList(points=[*some]))
            case words.Discard(ids):
                try:
                    await self._apply(words.Delete(ids))
                except LookalikeError as error:
                    _log.warning("Objects that nothing refers to any more are left for later: %s", error)

    async def _write(self, request: Callable[..., Awaitable[UpdateResults]], *args: object) -> None:
        async def ordered(client: AsyncQdrantClient, name: str) -> UpdateResults:
            return await request(client, name, *args, ordering=self.collection.ordering)

        answer = await self._ask(ordered)
        results = answer if isinstance(answer, list) else [answer]
        if any(result.status is models.UpdateStatus.WAIT_TIMEOUT for result in results):
            raise RepositoryUnavailableError(
                f"The Qdrant server at {self._connection.url} took a write, but has not finished it in time."
            )

    async def info(self) -> models.CollectionInfo:
        """What the server says of the collection. Raises EmbeddingSpaceError if another one has its name by now."""
        info = await self._ask(AsyncQdrantClient.get_collection)
        self._collections.successor(self.collection, self.collection.name, info)
        return info

    async def _ask(self, request: Callable[..., Awaitable[R]], *args: object, **kwargs: object) -> R:
        """The answer of the bound collection, or of the one that took its place, to a method of the client.

        Raises RepositoryUnavailableError, StorageFullError, InvalidFilterError, DeadlinePassedError, and
        EmbeddingSpaceError if what took its place holds other embeddings.
        """
        bound = self.collection
        with self._connection.faults_translated():
            try:
                return await self._connection.call(request, bound.name, *args, **kwargs)
            except QdrantFault as fault:
                # A request that was valid before may be invalid now, because the collection was made anew.
                suspect = fault.kind is FaultKind.INVALID and self._is_live
                if fault.kind is not FaultKind.MISSING and not suspect:
                    raise
                current = await self._follow(bound)
                if suspect and current == bound:
                    raise
            return await self._connection.call(request, current.name, *args, **kwargs)

    async def _follow(self, before: QdrantCollection) -> QdrantCollection:
        """Bind to what the index is now."""
        name = await self._collections.live_name()
        if name is None:
            raise RepositoryUnavailableError(
                f"The collection {before.name!r} was deleted from the Qdrant server. Restore it from a snapshot; or "
                "start again, with an empty index, and index the pictures anew."
            )
        info = await self._connection.call(AsyncQdrantClient.get_collection, name)
        live = self._collections.successor(before, name, info)
        if live != before:
            _log.info("The index was replaced by %s; following.", live.name)
            self.collection = live
        return live


# Our words in the server's

_DIALECT = Dialect(
    models,
    models.Range,
    lambda path: models.IsEmptyCondition(is_empty=models.PayloadField(key=path)),
    lambda ids: models.HasIdCondition(has_id=list(ids)),
)
_filter = _DIALECT.filter


def _nearest(query: VectorQuery) -> dict[str, Any]:
    """What a query asks for, whether its answer is grouped or not."""
    return {
        "query": query.vector.tolist(),
        "using": query.using,
        "limit": query.limit,
        "query_filter": _filter(query.where),
        "score_threshold": query.score_threshold,
        "search_params": _DIALECT.search_params(exact=query.exact, hnsw_ef=HNSW_EF, oversampling=OVERSAMPLING),
    }
