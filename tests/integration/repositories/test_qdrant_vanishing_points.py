"""Points that a server finds, and that are deleted or replaced before it reads their payloads."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from qdrant_client import models

from adapters.repositories.qdrant import repository as qdrant
from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from domain.errors import RepositoryUnavailableError
from domain.images import ImageId
from tests.builders import a_query, an_embedding, an_id
from tests.contracts.repository_cases import SPACE, ids
from tests.contracts.similarity_repository_objects import AXIS, holding
from tests.qdrant_stand_in import Gone, QdrantStandIn, qdrant_stand_in
from tests.repositories import server_repository

IMAGES = [holding(number, 0.9 - number / 10, 0.2) for number in range(5)]
IDS = [image.record.id for image in IMAGES]
METHODS = ("Query", "QueryGroups", "Scroll", "Get")


@pytest.fixture
async def server() -> AsyncIterator[QdrantStandIn]:
    async with qdrant_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
async def repository(server: QdrantStandIn) -> AsyncIterator[QdrantSimilarityRepository]:
    repository = server_repository(url=server.url, grpc_port=server.port, timeout=60.0)
    await repository.open(SPACE)
    yield repository
    await repository.close()


@pytest.fixture
async def points(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, monkeypatch: pytest.MonkeyPatch
) -> set[str]:
    """The ids of the points of five images with two objects each, and of two old objects of no image."""
    await repository.upsert([*IMAGES, holding(9, 0.95, 0.94)])
    await server.client.delete("lookalike", models.PointIdsList(points=[str(an_id(9))]))
    monkeypatch.setattr(qdrant, "ORPHANED_AFTER", timedelta())
    return {str(point.id) for point in (await server.client.scroll("lookalike", limit=100))[0]}


def of_image(id_: ImageId) -> models.Filter:
    """Its objects."""
    return models.Filter(must=[models.FieldCondition(key="image", match=models.MatchValue(value=str(id_)))])


async def nearest(repository: QdrantSimilarityRepository, **part: Any) -> Sequence[ImageId]:
    return ids(await repository.nearest(a_query(an_embedding(500), **part)))


async def nearest_objects(repository: QdrantSimilarityRepository, **part: Any) -> Sequence[ImageId]:
    return ids(await repository.nearest_objects(a_query(AXIS, **part)))


async def listed(repository: QdrantSimilarityRepository, limit: int) -> tuple[Sequence[ImageId], bool]:
    page = await repository.list(limit=limit)
    return [record.id for record in page.items], page.next_cursor is None


async def objects_read(repository: QdrantSimilarityRepository) -> Mapping[ImageId, int | None]:
    found = await repository.object_embeddings(IDS)
    return {id_: None if vectors is None else len(vectors) for id_, vectors in found.items()}


READS: Mapping[str, tuple[set[str], Callable[[QdrantSimilarityRepository], Awaitable[Any]]]] = {
    "nearest": ({"Query"}, lambda repository: nearest(repository, limit=3)),
    "nearest with offset": ({"Get"}, lambda repository: nearest(repository, limit=2, offset=1)),
    "nearest_objects": ({"QueryGroups", "Get"}, lambda repository: nearest_objects(repository, limit=3)),
    "nearest_objects with offset": (
        {"QueryGroups", "Get"},
        lambda repository: nearest_objects(repository, limit=2, offset=2),
    ),
    "list": ({"Scroll"}, lambda repository: listed(repository, 3)),
    "list all": ({"Scroll"}, lambda repository: listed(repository, 10)),
    "get": ({"Get"}, lambda repository: repository.get(IDS)),
    "object_embeddings": ({"Get"}, objects_read),
    "orphaned_objects": ({"Scroll", "Get"}, QdrantSimilarityRepository.orphaned_objects),
    "status": (set(), QdrantSimilarityRepository.status),
}
"""With the requests of each whose answers have payloads."""


@pytest.mark.parametrize("what", READS)
async def test_points_that_are_replaced_meanwhile_are_read_as_they_are_then(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, points: set[str], what: str
) -> None:
    disturbed, read = READS[what]
    undisturbed = await read(repository)
    assert undisturbed
    server.gone = {method: Gone(points, times=2) for method in METHODS}
    assert await read(repository) == undisturbed
    assert disturbed <= {method for method, gone in server.gone.items() if gone.times == 0}


@pytest.mark.parametrize("what", READS)
async def test_a_read_ends_though_points_are_replaced_whenever_it_finds_them(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, points: set[str], what: str
) -> None:
    _, read = READS[what]
    server.gone = {method: Gone(points, times=10**9) for method in METHODS}
    match what:
        case "status":
            found = await read(repository)
            assert (found.images, found.objects) == (5, 10)
        case "nearest" | "nearest_objects" | "nearest_objects with offset":
            assert await read(repository) == []
        case _:  # an answer without them would be taken for the whole
            with pytest.raises(RepositoryUnavailableError, match="changes faster than it can be read"):
                await read(repository)


async def newest(repository: QdrantSimilarityRepository) -> Sequence[ImageId]:
    return (await listed(repository, 3))[0]


@pytest.mark.usefixtures("points")
@pytest.mark.parametrize(
    ("method", "read"),
    [
        ("Query", lambda repository: nearest(repository, limit=3)),
        ("Get", lambda repository: nearest(repository, limit=3, offset=1)),
        ("QueryGroups", lambda repository: nearest_objects(repository, limit=3)),
        ("Scroll", newest),
    ],
)
async def test_an_image_that_is_deleted_meanwhile_leaves_its_place_to_the_next(
    server: QdrantStandIn,
    repository: QdrantSimilarityRepository,
    method: str,
    read: Callable[[QdrantSimilarityRepository], Awaitable[Sequence[ImageId]]],
) -> None:
    [first, doomed, third] = await read(repository)
    of_doomed, _ = await server.client.scroll("lookalike", scroll_filter=of_image(doomed))
    server.gone[method] = Gone({str(doomed), *(str(point.id) for point in of_doomed)}, for_good=True)
    found = await read(repository)
    assert server.gone[method].times == 0
    assert (len(found), list(found[:2])) == (3, [first, third])
