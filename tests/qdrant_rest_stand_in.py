"""The stand-in over REST: an HTTP server in this process that answers by the client's local mode.

It has what our adapter asks for, and refuses when told to. It is no Qdrant: tests/integration has that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from pydantic import TypeAdapter
from qdrant_client import AsyncQdrantClient, models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.qdrant_stand_in import QdrantStandIn

Work = Callable[[AsyncQdrantClient, Request], Awaitable[Any]]

_SELECTOR = TypeAdapter(models.PointsSelector)


@dataclass(eq=False)
class QdrantRestStandIn:
    """Where it listens, and what tests set."""

    stored: QdrantStandIn
    """Its data, which it shares."""
    port: int = 0
    refusals: dict[str, Response] = field(default_factory=dict)
    """What is answered instead, by the end of the path."""

    async def answer(self, request: Request, work: Work) -> Response:
        for end, refusal in self.refusals.items():
            if request.url.path.endswith(end):
                return refusal
        try:
            result = await work(self.stored.client, request)
        except ValueError as error:
            unknown, exists = "not found" in str(error), "already exists" in str(error)
            status = 404 if unknown else 409 if exists else 400
            return JSONResponse({"status": {"error": str(error)}, "time": 0.0}, status)
        plain = TypeAdapter(type(result)).dump_python(result, mode="json")
        return JSONResponse({"result": plain, "status": "ok", "time": 0.0})


def _app(stand_in: QdrantRestStandIn) -> Starlette:
    async def root(_: Request) -> Response:
        return JSONResponse({"title": "stand-in", "version": stand_in.stored.version})

    async def create(client: AsyncQdrantClient, request: Request) -> bool:
        wanted = models.CreateCollection.model_validate(await request.json())
        await client.create_collection(_name(request), vectors_config=wanted.vectors, metadata=wanted.metadata)
        stand_in.stored.indexes[_name(request)] = {}
        return True

    async def info(_: AsyncQdrantClient, request: Request) -> models.CollectionInfo:
        return await stand_in.stored.collection_info(_name(request))

    async def create_index(_: AsyncQdrantClient, request: Request) -> models.UpdateResult:
        wanted = models.CreateFieldIndex.model_validate(await request.json())
        wait = request.query_params["wait"] == "true"
        schema = wanted.field_schema
        type_ = models.PayloadSchemaType(getattr(schema, "type", schema))
        stand_in.stored.create_index(_name(request), wanted.field_name, type_, wait=wait)
        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)

    works: Mapping[tuple[str, str], Work] = {
        ("GET", "/aliases"): lambda client, _: client.get_aliases(),
        ("POST", "/collections/aliases"): _change_aliases,
        ("GET", "/collections"): lambda client, _: client.get_collections(),
        ("GET", "/collections/{name}"): info,
        ("PUT", "/collections/{name}"): create,
        ("DELETE", "/collections/{name}"): lambda client, request: client.delete_collection(_name(request)),
        ("GET", "/collections/{name}/exists"): _exists,
        ("PUT", "/collections/{name}/index"): create_index,
        ("PUT", "/collections/{name}/points"): _upsert,
        ("POST", "/collections/{name}/points"): _retrieve,
        ("POST", "/collections/{name}/points/delete"): _delete,
        ("POST", "/collections/{name}/points/batch"): _update_batch,
        ("POST", "/collections/{name}/points/scroll"): _scroll,
        ("POST", "/collections/{name}/points/query"): _query,
        ("POST", "/collections/{name}/points/query/groups"): _query_groups,
        ("POST", "/collections/{name}/points/count"): _count,
        ("POST", "/collections/{name}/facet"): _facet,
    }

    def endpoint(work: Work) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await stand_in.answer(request, work)

        return answer

    routes = [Route(path, endpoint(work), methods=[method]) for (method, path), work in works.items()]
    return Starlette(routes=[Route("/", root), *routes])


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


async def _change_aliases(client: AsyncQdrantClient, request: Request) -> bool:
    wanted = models.ChangeAliasesOperation.model_validate(await request.json())
    return await client.update_collection_aliases(wanted.actions)


async def _exists(client: AsyncQdrantClient, request: Request) -> models.CollectionExistence:
    return models.CollectionExistence(exists=await client.collection_exists(_name(request)))


async def _upsert(client: AsyncQdrantClient, request: Request) -> models.UpdateResult:
    assert request.query_params["wait"] == "true"
    wanted = models.PointsList.model_validate(await request.json())
    return await client.upsert(_name(request), wanted.points)


async def _retrieve(client: AsyncQdrantClient, request: Request) -> Any:
    wanted = models.PointRequest.model_validate(await request.json())
    return await client.retrieve(
        _name(request), wanted.ids, with_payload=wanted.with_payload, with_vectors=wanted.with_vector or False
    )


async def _delete(client: AsyncQdrantClient, request: Request) -> models.UpdateResult:
    assert request.query_params["wait"] == "true"
    return await client.delete(_name(request), _SELECTOR.validate_python(await request.json()))


async def _update_batch(client: AsyncQdrantClient, request: Request) -> list[models.UpdateResult]:
    assert request.query_params["wait"] == "true"
    wanted = models.UpdateOperations.model_validate(await request.json())
    return await client.batch_update_points(_name(request), wanted.operations)


async def _scroll(client: AsyncQdrantClient, request: Request) -> models.ScrollResult:
    wanted = models.ScrollRequest.model_validate(await request.json())
    found, after = await client.scroll(
        _name(request),
        scroll_filter=wanted.filter,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        order_by=wanted.order_by,
        with_payload=wanted.with_payload or False,
    )
    return models.ScrollResult(points=found, next_page_offset=after)


async def _query(client: AsyncQdrantClient, request: Request) -> models.QueryResponse:
    wanted = models.QueryRequest.model_validate(await request.json())
    return await client.query_points(
        _name(request),
        query=wanted.query,
        using=wanted.using,
        query_filter=wanted.filter,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        score_threshold=wanted.score_threshold,
        with_payload=wanted.with_payload or False,
    )


async def _query_groups(client: AsyncQdrantClient, request: Request) -> models.GroupsResult:
    wanted = models.QueryGroupsRequest.model_validate(await request.json())
    return await client.query_points_groups(
        _name(request),
        group_by=wanted.group_by,
        query=wanted.query,
        using=wanted.using,
        query_filter=wanted.filter,
        limit=wanted.limit or 10,
        group_size=wanted.group_size or 1,
        score_threshold=wanted.score_threshold,
        with_payload=wanted.with_payload or False,
    )


async def _count(client: AsyncQdrantClient, request: Request) -> models.CountResult:
    wanted = models.CountRequest.model_validate(await request.json())
    return await client.count(_name(request), count_filter=wanted.filter)


async def _facet(client: AsyncQdrantClient, request: Request) -> models.FacetResponse:
    wanted = models.FacetRequest.model_validate(await request.json())
    return await client.facet(_name(request), wanted.key, facet_filter=wanted.filter, limit=wanted.limit or 10)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Those are the test runner's."""
        yield


@asynccontextmanager
async def qdrant_rest_stand_in() -> AsyncIterator[QdrantRestStandIn]:
    """The stand-in, listening on a free port of the loopback."""
    stand_in = QdrantRestStandIn(QdrantStandIn())
    config = uvicorn.Config(_app(stand_in), port=0, log_config=None, access_log=False, lifespan="off", ws="none")
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.005)
    stand_in.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield stand_in
    finally:
        server.should_exit = server.force_exit = True
        await serving
        await stand_in.stored.client.close()
