"""Objects on a Qdrant server: what a write leaves that is cut short, and what others see of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta

import grpc as transport
import pytest
from qdrant_client import models

from adapters.repositories.qdrant import repository as qdrant
from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from domain.errors import IndexDamagedError, RepositoryUnavailableError
from domain.images import ImageId, ImageRecord, IndexedImage
from tests.builders import a_query, a_record, an_id, an_image
from tests.contracts.repository_cases import SPACE, an_oracle, ids, scores_of, where
from tests.contracts.similarity_repository_objects import AXIS, holding
from tests.qdrant_stand_in import Failure, QdrantStandIn, qdrant_stand_in
from tests.repositories import server_repository

Write = Callable[[QdrantSimilarityRepository], Awaitable[None]]

OBJECT_POINTS = models.Filter(must=[models.FieldCondition(key="kind", match=models.MatchValue(value="object"))])

BEFORE = [
    holding(1, 0.9, 0.4, -0.7, metadata={"shelf": "a"}, filename="before.jpg"),
    holding(2, 0.6, metadata={"shelf": "a"}, filename="before.jpg"),
    an_image(3, metadata={"shelf": "a"}, filename="before.jpg"),
]
WRITES: Mapping[str, tuple[Write, list[IndexedImage]]] = {
    "a new image": (
        lambda repository: repository.upsert([holding(9, 0.95, 0.2, metadata={"shelf": "b"})]),
        [*BEFORE, holding(9, 0.95, 0.2, metadata={"shelf": "b"})],
    ),
    "other objects": (
        lambda repository: repository.upsert([holding(1, 0.99, -0.9, label="dog", metadata={"shelf": "b"})]),
        [holding(1, 0.99, -0.9, label="dog", metadata={"shelf": "b"}), *BEFORE[1:]],
    ),
    "no objects any more": (
        lambda repository: repository.upsert([an_image(1, metadata={"shelf": "b"})]),
        [an_image(1, metadata={"shelf": "b"}), *BEFORE[1:]],
    ),
    "objects where there were none": (
        lambda repository: repository.upsert([holding(3, 0.97, metadata={"shelf": "b"})]),
        [*BEFORE[:2], holding(3, 0.97, metadata={"shelf": "b"})],
    ),
    "other metadata": (
        lambda repository: repository.update([a_record(1, metadata={"shelf": "b"})]),
        [holding(1, 0.9, 0.4, -0.7, metadata={"shelf": "b"}, filename="before.jpg"), *BEFORE[1:]],
    ),
    "a deletion": (lambda repository: repository.delete([an_id(1), an_id(2)]), BEFORE[2:]),
}


@pytest.fixture
async def server() -> AsyncIterator[QdrantStandIn]:
    async with qdrant_stand_in() as stand_in:
        yield stand_in


def connected(server: QdrantStandIn) -> QdrantSimilarityRepository:
    return server_repository(url=server.url, grpc_port=server.port, timeout=60.0)


@pytest.fixture
async def repository(server: QdrantStandIn) -> AsyncIterator[QdrantSimilarityRepository]:
    repository = connected(server)
    await repository.open(SPACE)
    yield repository
    await repository.close()


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_that_is_cut_short_anywhere_has_happened_or_not(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write, after = WRITES[name]
    cut_short, seen_before, seen_after = 0, 0, 0
    while True:
        await repository.delete([record.id for record in (await repository.list(limit=200)).items])
        await repository.upsert(BEFORE)
        server.answers_left = cut_short
        with suppress(RepositoryUnavailableError):  # tidying up that is cut short fails no write
            await write(repository)
        is_whole, server.answers_left = server.answers_left >= 0, None
        if is_whole:
            break
        cut_short += 1
        stored = await everything_in(repository)
        assert stored in (records_of(BEFORE), records_of(after)), "it has happened or not"
        seen_before += stored == records_of(BEFORE)
        seen_after += stored == records_of(after)
        await assert_consistent(repository, BEFORE if stored == records_of(BEFORE) else after)

        await write(repository)
        await assert_consistent(repository, after)
        with monkeypatch.context() as later:
            let_orphans_be_old(later)
            await assert_consistent(repository, after)  # whose searches sweep
            await assert_consistent(repository, after)
    await assert_consistent(repository, after)
    assert seen_before >= 2, "the first requests commit nothing"
    assert name in {"a new image", "objects where there were none"} or seen_after >= 1, "the last ones only clean up"


async def everything_in(repository: QdrantSimilarityRepository) -> dict[ImageId, ImageRecord]:
    return {record.id: record for record in (await repository.list(limit=200)).items}


def records_of(images: list[IndexedImage]) -> dict[ImageId, ImageRecord]:
    return {image.record.id: image.record for image in images}


async def assert_consistent(repository: QdrantSimilarityRepository, images: list[IndexedImage]) -> None:
    """The repository holds exactly these images and their objects, as far as any read can see."""
    assert await everything_in(repository) == records_of(images)
    oracle = await an_oracle(images)
    for query in (AXIS, -AXIS):
        for wanted in (where("metadata.shelf", eq="a"), where("metadata.shelf", eq="b"), where("width", gte=0)):
            found = await repository.nearest_objects(a_query(query, limit=100, where=wanted))
            expected = await oracle.nearest_objects(a_query(query, limit=100, where=wanted))
            assert ids(found) == ids(expected)
            assert scores_of(found) == pytest.approx(scores_of(expected), abs=1e-5)
            assert [match.region for match in found] == [match.region for match in expected]
            assert [match.image for match in found] == [match.image for match in expected]
    status = await repository.status()
    assert (status.images, status.objects) == (len(images), sum(len(image.record.objects) for image in images))
    vectors = await repository.object_embeddings([an_id(number) for number in range(10)])
    assert {id_: len(of_objects) for id_, of_objects in vectors.items()} == {
        image.record.id: len(image.record.objects) for image in images
    }
    await oracle.close()


async def object_points(server: QdrantStandIn) -> int:
    return (await server.client.count("lookalike", count_filter=OBJECT_POINTS)).count


def let_orphans_be_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was written before now be old enough to be deleted."""
    monkeypatch.setattr(qdrant, "ORPHANED_AFTER", timedelta())


async def leave_orphans(server: QdrantStandIn, repository: QdrantSimilarityRepository) -> None:
    """Two objects of an image that was never committed, nearer than anything else."""
    server.answers_left = 2  # which generation there is, and the objects
    with pytest.raises(RepositoryUnavailableError):
        await repository.upsert([holding(9, 0.99, 0.98)])
    server.answers_left = None


async def test_orphans_take_nobodys_place(server: QdrantStandIn, repository: QdrantSimilarityRepository) -> None:
    await repository.upsert(BEFORE)
    await leave_orphans(server, repository)
    assert await object_points(server) == 6
    assert ids(await repository.nearest_objects(a_query(AXIS, limit=1))) == [an_id(1)]
    assert ids(await repository.nearest_objects(a_query(AXIS, limit=1, offset=1))) == [an_id(2)]
    assert ids(await repository.nearest_objects(a_query(AXIS, limit=10, score_threshold=0.95))) == []


async def test_what_is_committed_while_it_is_searched_for_is_found(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    """Its new objects are passed over as not committed, and then its old ones are gone."""
    await repository.upsert([holding(1, 0.5), holding(2, 0.3)])
    [old] = await objects_of(server, an_id(1))
    server.answers_left = 2  # which generation there is, and the objects
    with pytest.raises(RepositoryUnavailableError):
        await repository.upsert([holding(1, 0.9)])
    server.answers_left = None
    [new] = [point for point in await objects_of(server, an_id(1)) if point.id != old.id]
    searches = 0

    async def commit_before_the_second() -> None:
        nonlocal searches
        searches += 1
        if searches == 2:
            generation = {"generation": (new.payload or {})["generation"]}
            await server.client.set_payload("lookalike", generation, [str(an_id(1))])
            await server.client.delete("lookalike", models.PointIdsList(points=[old.id]))

    server.before["QueryGroups"] = commit_before_the_second
    found = await repository.nearest_objects(a_query(AXIS, limit=2))
    assert searches >= 2
    assert ids(found) == [an_id(1), an_id(2)]
    assert scores_of(found) == pytest.approx([0.9, 0.3], abs=1e-5)


async def objects_of(server: QdrantStandIn, image: ImageId) -> list[models.Record]:
    of_image = models.FieldCondition(key="image", match=models.MatchValue(value=str(image)))
    return (await server.client.scroll("lookalike", scroll_filter=models.Filter(must=[of_image])))[0]


async def test_orphans_are_deleted_once_no_write_can_be_under_way(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository.upsert(BEFORE)
    await leave_orphans(server, repository)
    await repository.nearest_objects(a_query(AXIS, limit=10))
    assert await object_points(server) == 6, "somebody may be about to commit them"
    let_orphans_be_old(monkeypatch)
    await repository.nearest_objects(a_query(AXIS, limit=10))
    assert await object_points(server) == 4
    await assert_consistent(repository, BEFORE)


async def test_orphans_are_told_and_swept_once_no_write_can_be_under_way(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant, "SCROLLED_AT_ONCE", 4)  # so that it takes several requests
    await repository.upsert(BEFORE)
    await leave_orphans(server, repository)
    assert dict(await repository.orphaned_objects()) == {}
    assert await repository.sweep_objects([an_id(1), an_id(9)]) == 0
    let_orphans_be_old(monkeypatch)
    assert dict(await repository.orphaned_objects()) == {an_id(9): 2}
    assert await repository.sweep_objects([an_id(1)]) == 0
    assert await repository.sweep_objects([an_id(1), an_id(9)]) == 2
    assert await object_points(server) == 4
    await assert_consistent(repository, BEFORE)


async def test_a_search_succeeds_though_it_may_not_delete(
    server: QdrantStandIn,
    repository: QdrantSimilarityRepository,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await repository.upsert(BEFORE)
    await leave_orphans(server, repository)
    let_orphans_be_old(monkeypatch)
    server.failures["Delete"] = Failure(transport.StatusCode.PERMISSION_DENIED, "a read-only key", times=1_000)
    assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [an_id(1), an_id(2)]
    assert "a read-only key" in caplog.text
    assert await object_points(server) == 6


async def test_what_a_write_replaced_is_deleted_at_once(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert(BEFORE)
    await repository.upsert(BEFORE)
    assert await object_points(server) == 4
    await repository.update([a_record(1, metadata={"shelf": "c"})])
    assert await object_points(server) == 4
    await repository.delete([an_id(1)])
    assert await object_points(server) == 1


async def test_a_server_that_answers_with_fewer_groups_is_asked_for_more(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert([holding(number, 0.9 - number / 100, 0.1) for number in range(40)])
    server.groups_per_answer = 3
    assert ids(await repository.nearest_objects(a_query(AXIS, limit=10))) == [an_id(number) for number in range(10)]
    assert ids(await repository.nearest_objects(a_query(AXIS, limit=10, offset=35))) == [
        an_id(n) for n in range(35, 40)
    ]


async def test_points_of_objects_are_no_images(server: QdrantStandIn, repository: QdrantSimilarityRepository) -> None:
    await repository.upsert(BEFORE)
    points, _ = await server.client.scroll("lookalike", scroll_filter=OBJECT_POINTS)
    ids_of_objects = [ImageId(str(point.id)) for point in points]
    assert len(ids_of_objects) == 4
    assert await repository.get(ids_of_objects) == {}
    assert await repository.embeddings(ids_of_objects) == {}
    assert await repository.object_embeddings(ids_of_objects) == {}


async def test_replicas_that_write_the_same_images_leave_them_whole(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    replicas = [connected(server) for _ in range(4)]
    for replica in replicas:
        await replica.open(SPACE)
    await repository.upsert(BEFORE)

    async def write(replica: QdrantSimilarityRepository, turn: int) -> None:
        await replica.upsert([holding(n, 0.9, *[0.2] * (turn % 4), metadata={"shelf": f"{turn}"}) for n in (1, 2, 3)])
        await replica.update([a_record(1 + turn % 3, metadata={"shelf": "a" if turn % 2 else "b"})])

    await asyncio.gather(*(write(replica, turn + place) for turn in range(8) for place, replica in enumerate(replicas)))
    stored = await everything_in(repository)
    vectors = await repository.object_embeddings(list(stored))
    assert {id_: len(vectors[id_]) for id_ in stored} == {id_: len(record.objects) for id_, record in stored.items()}
    for record in stored.values():
        found = await repository.nearest_objects(
            a_query(AXIS, limit=10, where=where("metadata.shelf", eq=record.metadata["shelf"]))
        )
        assert record in [match.image for match in found]
    for replica in replicas:
        await replica.close()


async def test_an_image_of_which_objects_are_missing_is_told_from_the_others(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert(BEFORE)
    [lost, *_] = await objects_of(server, an_id(1))
    await server.client.delete("lookalike", models.PointIdsList(points=[lost.id]))
    found = await repository.object_embeddings([an_id(1), an_id(2), an_id(3)])
    assert {id_: None if vectors is None else len(vectors) for id_, vectors in found.items()} == {
        an_id(1): None,
        an_id(2): 1,
        an_id(3): 0,
    }


async def test_a_patch_of_an_image_with_a_missing_object_leaves_its_other_objects(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert(BEFORE)
    [lost, *kept] = await objects_of(server, an_id(1))
    await server.client.delete("lookalike", models.PointIdsList(points=[lost.id]))
    with pytest.raises(IndexDamagedError, match=f"{an_id(1)} are missing"):
        await repository.update([a_record(1, metadata={"shelf": "b"})])
    assert await objects_of(server, an_id(1)) == kept
    assert await everything_in(repository) == records_of(BEFORE)


async def test_a_patch_of_an_image_whose_objects_are_replaced_meanwhile_is_made(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert(BEFORE)
    reads = 0

    async def replace_before_the_vectors_are_read() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            del server.before["Get"]
            await repository.upsert([holding(1, 0.99, -0.9, label="dog", metadata={"shelf": "a"})])

    server.before["Get"] = replace_before_the_vectors_are_read
    await repository.update([a_record(1, metadata={"shelf": "b"})])
    assert reads == 2
    await assert_consistent(repository, [holding(1, 0.99, -0.9, label="dog", metadata={"shelf": "b"}), *BEFORE[1:]])
