"""A gRPC server in this process that speaks Qdrant's protocol and answers by the client's local mode.

It shows that our requests survive the wire, and fails when told to. It is no Qdrant: tests/integration has that.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc as transport
from qdrant_client import AsyncQdrantClient, grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

VERSION = "1.19.0"


@dataclass
class Failure:
    """What the next `times` calls of a method end in."""

    code: Any
    details: str = ""
    times: int = 1
    trailing: tuple[tuple[str, str], ...] = ()
    after_the_work: bool = False
    """The work is done and the answer lost."""


@dataclass
class Gone:
    """Points that are found, and gone when their payloads are read, in the next `times` answers that have them."""

    points: Collection[str]
    times: int = 1
    for_good: bool = False
    """They are deleted at that moment; else they were replaced, and are there again for the next request."""


class QdrantStandIn:
    """The server's state, and what tests set and look at."""

    def __init__(self) -> None:
        self.client = AsyncQdrantClient(location=":memory:")
        self.version = VERSION
        self.api_key: str | None = None
        self.failures: dict[str, Failure] = {}
        self.delays: dict[str, float] = {}
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        """What happens right before each call of a method is answered."""
        self.answers_left: int | None = None
        """How many more requests are answered before everything is refused for good; None for no end."""
        self.groups_per_answer: int | None = None
        """Search groups are cut to this, as a server does that gives up looking for more; None for all."""
        self.gone: dict[str, Gone] = {}
        """By the method (Query, QueryGroups, Scroll, Get) in whose answers they come without their payloads."""
        self.looks_until_indexed = 0
        """How many looks at a collection do not show an index yet whose creation nobody waited for."""
        self.requests: list[Any] = []
        self.indexes: dict[str, dict[str, models.PayloadSchemaType]] = {}
        self._looks_left: dict[tuple[str, str], int] = {}
        self.port = 0
        self._server: Any = None

    async def start(self) -> None:
        """Listen, at the same port as before if there was one, with what was stored."""
        self._server = transport.aio.server(
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.max_ping_strikes", 0),  # a Qdrant server counts no pings, gRPC's own servers do
            ]
        )
        grpc.add_QdrantServicer_to_server(_Root(self), self._server)
        grpc.add_CollectionsServicer_to_server(_Collections(self), self._server)
        grpc.add_PointsServicer_to_server(_Points(self), self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """End at once, as a process does that is killed; what is stored stays."""
        await self._server.stop(grace=None)

    @property
    def url(self) -> str:
        return "http://127.0.0.1:1"  # REST is never asked

    def named(self, type_: type) -> list[Any]:
        """The requests of one type, in the order of their arrival."""
        return [request for request in self.requests if isinstance(request, type_)]

    async def collection_info(self, name: str) -> models.CollectionInfo:
        """With what a server tells and the local mode does not."""
        info = await self.client.get_collection(name)
        info.config.params.shard_number = 1
        info.config.params.replication_factor = 1
        info.config.params.write_consistency_factor = 1
        info.config.params.on_disk_payload = True
        aliases = {alias.alias_name: alias.collection_name for alias in (await self.client.get_aliases()).aliases}
        collection = aliases.get(name, name)
        info.payload_schema = {
            path: models.PayloadIndexInfo(data_type=type_, points=0)
            for path, type_ in self.indexes[collection].items()
            if self._is_built(collection, path)
        }
        return info

    def create_index(self, collection: str, path: str, type_: models.PayloadSchemaType, *, wait: bool) -> None:
        """Put it in the collection's queue, where it stays for some looks unless somebody waits for it."""
        plain = re.sub(r'"(\w+)"', r"\1", path)  # the server drops quotes that are not needed
        if plain not in self.indexes[collection]:
            self.indexes[collection][plain] = type_
            self._looks_left[collection, plain] = 0 if wait else self.looks_until_indexed

    def _is_built(self, collection: str, path: str) -> bool:
        left = self._looks_left.get((collection, path), 0)
        self._looks_left[collection, path] = max(0, left - 1)
        return left == 0

    async def lose_payloads(
        self,
        method: str,
        request: Any,
        points: Iterable[models.Record | models.ScoredPoint],
        *,
        but: str | None = None,
    ) -> None:
        """Take from an answer the payloads of points that are gone; `but` is the field that groups keep."""
        gone = self.gone.get(method)
        if gone is None or gone.times == 0:
            return
        lost = [point for point in points if point.id in gone.points]
        for point in lost:
            point.payload = {but: point.payload[but]} if but and point.payload else {}
        gone.times -= bool(lost)
        if gone.for_good and lost:
            await self.client.delete(request.collection_name, models.PointIdsList(points=[*gone.points]))

    async def answer(self, name: str, request: Any, context: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        self.requests.append(request)
        given = dict(context.invocation_metadata()).get("api-key")
        if self.api_key is not None and given != self.api_key and name != "HealthCheck":
            await context.abort(transport.StatusCode.UNAUTHENTICATED, "Must provide an API key")
        if self.answers_left is not None:
            self.answers_left -= 1
            if self.answers_left < 0:
                await context.abort(transport.StatusCode.PERMISSION_DENIED, "the process dies here")
        await asyncio.sleep(self.delays.get(name, 0.0))
        if name in self.before:
            await self.before[name]()
        failure = self.failures.get(name)
        if failure is not None and failure.times > 0:
            failure.times -= 1
            if failure.after_the_work:
                await work()
            await context.abort(failure.code, failure.details, failure.trailing)
        try:
            return await work()
        except ValueError as error:
            unknown = "not found" in str(error) or "does not exist" in str(error)
            exists = "already exists" in str(error)
            code = transport.StatusCode
            await context.abort(
                code.NOT_FOUND if unknown else code.ALREADY_EXISTS if exists else code.INVALID_ARGUMENT, str(error)
            )


class _Root(grpc.QdrantServicer):  # type: ignore[misc]
    def __init__(self, stand_in: QdrantStandIn) -> None:
        self._server = stand_in

    async def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            return grpc.HealthCheckReply(title="stand-in", version=self._server.version)

        return await self._server.answer("HealthCheck", request, context, work)


class _Collections(grpc.CollectionsServicer):  # type: ignore[misc]
    def __init__(self, stand_in: QdrantStandIn) -> None:
        self._server = stand_in
        self._client = stand_in.client

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            await self._client.create_collection(
                request.collection_name,
                vectors_config=GrpcToRest.convert_vectors_config(request.vectors_config),
                metadata=GrpcToRest.convert_payload(request.metadata),
            )
            self._server.indexes[request.collection_name] = {}
            return grpc.CollectionOperationResponse(result=True)

        return await self._server.answer("Create", request, context, work)

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            info = await self._server.collection_info(request.collection_name)
            return grpc.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

        return await self._server.answer("GetCollection", request, context, work)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            found = (await self._client.get_collections()).collections
            names = [grpc.CollectionDescription(name=collection.name) for collection in found]
            return grpc.ListCollectionsResponse(collections=names)

        return await self._server.answer("List", request, context, work)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            return grpc.CollectionOperationResponse(
                result=await self._client.delete_collection(request.collection_name)
            )

        return await self._server.answer("DeleteCollection", request, context, work)

    async def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            exists = await self._client.collection_exists(request.collection_name)
            return grpc.CollectionExistsResponse(result=grpc.CollectionExists(exists=exists))

        return await self._server.answer("CollectionExists", request, context, work)

    async def ListAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            aliases = (await self._client.get_aliases()).aliases
            return grpc.ListAliasesResponse(aliases=[RestToGrpc.convert_alias_description(alias) for alias in aliases])

        return await self._server.answer("ListAliases", request, context, work)

    async def UpdateAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            operations = [GrpcToRest.convert_alias_operations(action) for action in request.actions]
            return grpc.CollectionOperationResponse(result=await self._client.update_collection_aliases(operations))

        return await self._server.answer("UpdateAliases", request, context, work)


class _Points(grpc.PointsServicer):  # type: ignore[misc]
    def __init__(self, stand_in: QdrantStandIn) -> None:
        self._server = stand_in
        self._client = stand_in.client

    async def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            assert request.wait
            points = [GrpcToRest.convert_point_struct(point) for point in request.points]
            return _done(await self._client.upsert(request.collection_name, points))

        return await self._server.answer("Upsert", request, context, work)

    async def UpdateBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            assert request.wait
            operations = [GrpcToRest.convert_points_update_operation(each) for each in request.operations]
            done = await self._client.batch_update_points(request.collection_name, operations)
            return grpc.UpdateBatchResponse(result=[RestToGrpc.convert_update_result(each) for each in done])

        return await self._server.answer("UpdateBatch", request, context, work)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            assert request.wait
            selector = GrpcToRest.convert_points_selector(request.points)
            return _done(await self._client.delete(request.collection_name, selector))

        return await self._server.answer("Delete", request, context, work)

    async def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            types = {
                grpc.FieldType.FieldTypeKeyword: models.PayloadSchemaType.KEYWORD,
                grpc.FieldType.FieldTypeInteger: models.PayloadSchemaType.INTEGER,
                grpc.FieldType.FieldTypeFloat: models.PayloadSchemaType.FLOAT,
            }
            self._server.create_index(
                request.collection_name, request.field_name, types[request.field_type], wait=request.wait
            )
            return _done(models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED))

        return await self._server.answer("CreateFieldIndex", request, context, work)

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            found = await self._client.retrieve(
                request.collection_name,
                [GrpcToRest.convert_point_id(id_) for id_ in request.ids],
                with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
                with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
            )
            await self._server.lose_payloads("Get", request, found)
            for record in found:
                record.payload = record.payload or {}
            return grpc.GetResponse(result=[RestToGrpc.convert_record(record) for record in found])

        return await self._server.answer("Get", request, context, work)

    async def Scroll(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            found, rest = await self._client.scroll(
                request.collection_name,
                scroll_filter=_filter(request),
                limit=request.limit,
                offset=GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
                order_by=GrpcToRest.convert_order_by(request.order_by) if request.HasField("order_by") else None,
                with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            )
            await self._server.lose_payloads("Scroll", request, found)
            return grpc.ScrollResponse(
                result=[RestToGrpc.convert_record(record) for record in found],
                next_page_offset=None if rest is None else RestToGrpc.convert_extended_point_id(rest),
            )

        return await self._server.answer("Scroll", request, context, work)

    async def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            answer = await self._client.query_points(
                request.collection_name,
                query=GrpcToRest.convert_query(request.query),
                using=request.using,
                query_filter=_filter(request),
                limit=request.limit,
                offset=request.offset,
                score_threshold=request.score_threshold if request.HasField("score_threshold") else None,
                with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            )
            await self._server.lose_payloads("Query", request, answer.points)
            return grpc.QueryResponse(result=[RestToGrpc.convert_scored_point(point) for point in answer.points])

        return await self._server.answer("Query", request, context, work)

    async def QueryGroups(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            answer = await self._client.query_points_groups(
                request.collection_name,
                group_by=request.group_by,
                query=GrpcToRest.convert_query(request.query),
                using=request.using,
                query_filter=_filter(request),
                limit=request.limit,
                group_size=request.group_size,
                score_threshold=request.score_threshold if request.HasField("score_threshold") else None,
                with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            )
            answer.groups = answer.groups[: self._server.groups_per_answer]
            hits = [hit for group in answer.groups for hit in group.hits]
            await self._server.lose_payloads("QueryGroups", request, hits, but=request.group_by)
            return grpc.QueryGroupsResponse(result=RestToGrpc.convert_groups_result(answer))

        return await self._server.answer("QueryGroups", request, context, work)

    async def Count(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            assert request.exact or not request.HasField("filter"), "what is counted for callers is counted exactly"
            answer = await self._client.count(request.collection_name, count_filter=_filter(request))
            return grpc.CountResponse(result=RestToGrpc.convert_count_result(answer))

        return await self._server.answer("Count", request, context, work)

    async def Facet(self, request: Any, context: Any) -> Any:  # noqa: N802
        async def work() -> Any:
            assert request.exact
            answer = await self._client.facet(
                request.collection_name, request.key, facet_filter=_filter(request), limit=request.limit
            )
            return grpc.FacetResponse(hits=[RestToGrpc.convert_facet_value_hit(hit) for hit in answer.hits])

        return await self._server.answer("Facet", request, context, work)


def _filter(request: Any) -> models.Filter | None:
    return GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None


def _done(result: models.UpdateResult) -> Any:
    return grpc.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))


@contextmanager
def qdrant_stand_in_on_a_thread() -> Iterator[QdrantStandIn]:
    """The same for tests that are not async, and for services in processes of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="qdrant-stand-in")
    thread.start()

    def wait_for(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    stand_in = QdrantStandIn()
    try:
        wait_for(stand_in.start())
        yield stand_in
        wait_for(stand_in.stop())
        wait_for(stand_in.client.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@asynccontextmanager
async def qdrant_stand_in() -> AsyncIterator[QdrantStandIn]:
    """The stand-in, listening on a free port of the loopback."""
    stand_in = QdrantStandIn()
    await stand_in.start()
    try:
        yield stand_in
    finally:
        await stand_in.stop()
        await stand_in.client.close()
