"""The adapter as it speaks to a server: over gRPC, to a stand-in in this process that can be told to fail."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc as transport
import pytest
from qdrant_client import grpc, models

from adapters.repositories.qdrant import ranking
from adapters.repositories.qdrant.layout import FORMAT, image_vector, object_vector
from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from adapters.repositories.qdrant.server import connection
from domain.callers import Deadline, begin_bulk, within
from domain.errors import (
    ConfigurationError,
    DeadlinePassedError,
    EmbeddingSpaceError,
    Remedy,
    RepositoryUnavailableError,
    StorageFullError,
)
from domain.metadata import MetadataType, checked_metadata
from tests.builders import a_query, a_record, an_embedding, an_id, an_image
from tests.contracts.repository_cases import DECLARED, ids, where
from tests.contracts.similarity_repository import OTHER_SPACE, SPACE, SimilarityRepositoryContract
from tests.disturbed_qdrant import stretched
from tests.eventually import eventually
from tests.qdrant_stand_in import Failure, QdrantStandIn, qdrant_stand_in
from tests.repositories import server_repository
from tests.tcp_proxy import line_to

CODES = transport.StatusCode


@pytest.fixture
async def server() -> AsyncIterator[QdrantStandIn]:
    async with qdrant_stand_in() as stand_in:
        yield stand_in


def connected(server: QdrantStandIn, **changes: Any) -> QdrantSimilarityRepository:
    return server_repository(**{"url": server.url, "grpc_port": server.port, "timeout": 60.0} | changes)


@pytest.fixture
async def repository(server: QdrantStandIn) -> AsyncIterator[QdrantSimilarityRepository]:
    repository = connected(server, timeout=stretched(1.5))
    await repository.open(SPACE)
    yield repository
    await repository.close()


class TestQdrantOverGrpc(SimilarityRepositoryContract):
    score_tolerance = 1e-5
    deep_images = 1_000  # the client's local mode, by which the stand-in answers, compares in Python

    @pytest.fixture
    async def fresh(self, server: QdrantStandIn) -> QdrantSimilarityRepository:
        return connected(server, indexed_metadata=DECLARED)


# Opening


async def test_a_new_collection_is_laid_out_as_configured(server: QdrantStandIn) -> None:
    repository = connected(
        server,
        collection="photos",
        shard_number=3,
        replication_factor=2,
        quantization="int8",
        on_disk_vectors=True,
        indexed_metadata={"brand": MetadataType.KEYWORD},
    )
    await repository.open(SPACE)
    (creation,) = server.named(grpc.CreateCollection)
    assert creation.collection_name == f"photos-{SPACE.fingerprint}"
    assert (creation.shard_number, creation.replication_factor, creation.write_consistency_factor) == (3, 2, 0)
    assert creation.quantization_config.scalar.type == grpc.QuantizationType.Int8
    for name in (image_vector(SPACE), object_vector(SPACE)):
        vectors = creation.vectors_config.params_map.map[name]
        assert (vectors.size, vectors.distance, vectors.on_disk) == (16, grpc.Distance.Cosine, True)
    indexed = {request.field_name for request in server.named(grpc.CreateFieldIndexCollection)}
    assert {"kind", "image", "generation", "created_at", "labels", "width", 'metadata."brand"'} <= indexed
    kinds = [type(request).__name__ for request in server.requests]
    assert kinds.index("CreateFieldIndexCollection") < kinds.index("ChangeAliases"), "indexes come before data"
    await repository.close()


async def test_newly_configured_metadata_is_indexed_when_opened_again(server: QdrantStandIn) -> None:
    first = connected(server, indexed_metadata={"brand": MetadataType.KEYWORD})
    await first.open(SPACE)
    await first.close()
    server.requests.clear()
    again = connected(server, indexed_metadata={"brand": MetadataType.KEYWORD, "a.b": MetadataType.KEYWORD})
    await again.open(SPACE)
    assert [request.field_name for request in server.named(grpc.CreateFieldIndexCollection)] == ['metadata."a.b"']
    await again.close()


async def test_an_index_that_holds_images_serves_while_the_server_builds_a_new_payload_index(
    server: QdrantStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = connected(server)
    await first.open(SPACE)
    await first.upsert([an_image(1, metadata={"brand": "acme"})])
    assert "slower" not in caplog.text, "of an empty index they are built at once"
    server.looks_until_indexed = 2
    server.requests.clear()
    replicas = [connected(server, indexed_metadata={"brand": MetadataType.KEYWORD}) for _ in range(3)]
    for replica in replicas:
        await replica.open(SPACE)
        assert await replica.count(where("metadata.brand", eq="acme")) == 1
    asked = server.named(grpc.CreateFieldIndexCollection)
    assert [(request.field_name, request.wait) for request in asked] == [('metadata."brand"', False)] * 2
    assert caplog.text.count("Filters on metadata.brand are slower until") == 2
    for repository in [first, *replicas]:
        await repository.close()


async def test_replicas_may_open_a_new_index_at_once(server: QdrantStandIn) -> None:
    replicas = [connected(server) for _ in range(5)]
    await asyncio.gather(*(replica.open(SPACE) for replica in replicas))
    await replicas[0].upsert([an_image(1)])
    assert [await replica.count() for replica in replicas] == [1] * 5
    assert len((await server.client.get_collections()).collections) == 1
    for replica in replicas:
        await replica.close()


async def test_a_wrong_key_is_a_matter_of_configuration(server: QdrantStandIn) -> None:
    server.api_key = "right"
    for key, said in [("wrong", "refuses the given API key"), (None, "refuses requests without an API key")]:
        with pytest.raises(ConfigurationError, match=said):
            await connected(server, api_key=key).open(SPACE)
    repository = connected(server, api_key="right")
    await repository.open(SPACE)
    server.api_key = "changed"
    with pytest.raises(RepositoryUnavailableError, match="refuses our API key"):
        await repository.count()
    await repository.close()


async def test_a_server_that_is_too_old_is_refused(server: QdrantStandIn) -> None:
    server.version = "1.18.3"
    with pytest.raises(ConfigurationError, match=r"version 1\.18\.3; 1\.19 or later"):
        await connected(server).open(SPACE)


async def test_a_server_far_from_the_clients_version_is_warned_about(
    server: QdrantStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    server.version = "1.30.0"
    repository = connected(server)
    await repository.open(SPACE)
    assert "1.30.0" in caplog.text
    await repository.close()


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound, not listening
        repository = server_repository(url="http://127.0.0.1:1", grpc_port=port, timeout=0.5)
        with pytest.raises(RepositoryUnavailableError, match=f"gRPC, port {port}"):
            await repository.open(SPACE)
        rest = server_repository(url=f"http://127.0.0.1:{port}", prefer_grpc=False, timeout=0.5)
        with pytest.raises(RepositoryUnavailableError, match="REST"):
            await rest.open(SPACE)


@pytest.mark.parametrize("url", ["localhost:6333", "ftp://localhost", "", "http://"])
async def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="http://localhost:6333"):
        await server_repository(url=url).open(SPACE)


async def test_a_collection_of_somebody_else_is_left_alone(server: QdrantStandIn) -> None:
    vectors = models.VectorParams(size=4, distance=models.Distance.DOT)
    await server.client.create_collection("lookalike", vectors_config=vectors)
    with pytest.raises(ConfigurationError, match="is not ours"):
        await connected(server).open(SPACE)


async def test_an_alias_of_somebody_else_is_left_alone(server: QdrantStandIn) -> None:
    vectors = models.VectorParams(size=4, distance=models.Distance.DOT)
    await server.client.create_collection("theirs", vectors_config=vectors)
    server.indexes["theirs"] = {}
    alias = models.CreateAlias(alias_name="lookalike", collection_name="theirs")
    await server.client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    with pytest.raises(ConfigurationError, match="'theirs', which is not ours"):
        await connected(server).open(SPACE)


@pytest.mark.parametrize(
    ("format_", "what_to_do", "remedy"),
    [
        (1, "", Remedy.CARRY_OVER_THE_OLDER_FORMAT),
        (FORMAT - 1, "", Remedy.CARRY_OVER_THE_OLDER_FORMAT),
        (FORMAT + 1, "Run the newer version", None),
    ],
)
async def test_a_collection_of_another_layout_is_refused(
    server: QdrantStandIn, format_: int, what_to_do: str, remedy: Remedy | None
) -> None:
    name = f"other-{SPACE.fingerprint}"
    vectors = models.VectorParams(size=SPACE.dimension, distance=models.Distance.COSINE)
    ours = {"format": format_, "index": "other", "space": SPACE.as_mapping()}
    await server.client.create_collection(
        name, vectors_config={image_vector(SPACE): vectors}, metadata={"lookalike": ours}
    )
    server.indexes[name] = {}
    alias = models.CreateAlias(alias_name="other", collection_name=name)
    await server.client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    with pytest.raises(ConfigurationError, match=rf"format {format_}.*{what_to_do}") as caught:
        await connected(server, collection="other").open(SPACE)
    assert caught.value.remedy is remedy


async def test_opening_what_is_open_compares_the_space_again(repository: QdrantSimilarityRepository) -> None:
    await repository.open(SPACE)
    with pytest.raises(EmbeddingSpaceError):
        await repository.open(OTHER_SPACE)
    assert await repository.count() == 0


# Failures


@pytest.mark.parametrize("code", [CODES.UNAVAILABLE, CODES.INTERNAL, CODES.ABORTED, CODES.UNKNOWN], ids=str)
async def test_what_may_pass_is_tried_again(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, code: Any
) -> None:
    server.failures["Upsert"] = Failure(code, "for a moment", times=2)
    await repository.upsert([an_image(1)])
    server.failures["Count"] = Failure(code, "for a moment", times=2)
    assert await repository.count() == 1


async def test_a_first_page_without_equal_scores_takes_one_request(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert([an_image(number) for number in range(30)])
    server.requests.clear()
    await repository.nearest(a_query(an_embedding(500), limit=10))
    [request] = server.requests
    assert (type(request), request.limit) == (grpc.QueryPoints, 11)
    server.requests.clear()
    await repository.nearest(a_query(an_embedding(500), limit=10, offset=10))
    assert [type(request) for request in server.requests] == [grpc.QueryPoints, grpc.GetPoints]
    assert (server.requests[0].limit, server.requests[0].with_payload.enable) == (21, False)


async def test_a_deletion_amid_a_search_shortens_no_page(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert([an_image(number) for number in range(30)])
    second = ids(await repository.nearest(a_query(an_embedding(500), limit=10, offset=10)))

    async def delete_one() -> None:
        del server.before["Get"]
        await server.client.delete("lookalike", models.PointIdsList(points=[str(second[3])]))

    server.before["Get"] = delete_one
    found = ids(await repository.nearest(a_query(an_embedding(500), limit=10, offset=10)))
    assert len(found) == 10
    assert found[:9] == [id_ for id_ in second if id_ != second[3]]


async def test_where_scores_are_equal_all_vectors_of_a_small_index_are_compared(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    await repository.upsert([an_image(number, embedding=an_embedding(number % 10)) for number in range(30)])
    server.requests.clear()
    assert len(await repository.nearest(a_query(an_embedding(500), limit=10))) == 10
    asked = server.named(grpc.QueryPoints)
    assert [request.params.exact for request in asked] == [False, True]


async def test_where_scores_are_equal_in_a_large_index_the_graph_is_asked_for_more(
    server: QdrantStandIn, repository: QdrantSimilarityRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "COMPARED_UP_TO", 29)
    await repository.upsert([an_image(number, embedding=an_embedding(0)) for number in range(30)])
    server.requests.clear()
    assert len(await repository.nearest(a_query(an_embedding(500), limit=10))) == 10
    asked = server.named(grpc.QueryPoints)
    assert [(request.params.exact, request.limit) for request in asked] == [(False, 11), (False, 10 + 64)]


async def test_what_does_not_pass_is_named(server: QdrantStandIn, repository: QdrantSimilarityRepository) -> None:
    server.failures["Count"] = Failure(CODES.UNAVAILABLE, "connection reset", times=1_000)
    with pytest.raises(RepositoryUnavailableError, match="connection reset"):
        await repository.count()
    assert server.failures["Count"].times < 999, "it was tried more than once"


async def test_a_write_whose_answer_was_lost_is_repeated(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    server.failures["Upsert"] = Failure(CODES.UNAVAILABLE, after_the_work=True)
    await repository.upsert([an_image(1), an_image(2)])
    server.failures["Delete"] = Failure(CODES.UNAVAILABLE, after_the_work=True)
    await repository.delete([an_id(1)])
    assert await repository.count() == 1


async def test_no_answer_in_time(server: QdrantStandIn, repository: QdrantSimilarityRepository) -> None:
    server.delays["Count"] = 600.0
    with pytest.raises(RepositoryUnavailableError, match=r"no answer within [\d.]+ s"):
        await repository.count()


async def test_the_callers_deadline_ends_the_wait(server: QdrantStandIn) -> None:
    repository = connected(server)
    await repository.open(SPACE)
    server.delays["Count"] = 600.0
    deadline = stretched(0.2)
    began = time.monotonic()
    with within(Deadline(began + deadline)), pytest.raises(DeadlinePassedError, match="before the Qdrant server"):
        await repository.count()
    assert time.monotonic() - began < 30.0
    with within(Deadline(began)), pytest.raises(DeadlinePassedError):
        await repository.count()
    await repository.close()


async def test_a_silent_server_is_asked_for_a_sign_of_life_before_anything_else(server: QdrantStandIn) -> None:
    repository = connected(server, timeout=stretched(1.5))
    await repository.open(SPACE)
    server.delays |= {"Count": 600.0, "HealthCheck": 600.0}
    with pytest.raises(RepositoryUnavailableError, match=r"no answer within [\d.]+ s"):
        await repository.count()
    asked = len(server.named(grpc.CountPoints))
    failures = await asyncio.gather(*(repository.count() for _ in range(20)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {RepositoryUnavailableError}
    assert len(server.named(grpc.CountPoints)) == asked
    assert len(server.named(grpc.HealthCheckRequest)) == 2, "one at the opening, and one for all twenty"

    async def in_bulk() -> None:
        begin_bulk()
        await repository.count()

    with pytest.raises(RepositoryUnavailableError):
        await asyncio.create_task(in_bulk())
    assert len(server.named(grpc.CountPoints)) > asked, "bulk work waits as ever"
    server.delays.clear()
    assert await repository.count() == 0
    await repository.close()


async def test_the_first_request_after_a_broken_line_was_mended_succeeds(
    server: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though gRPC refuses requests for a moment after a connection has failed."""
    monkeypatch.setattr(connection, "CHECK_SECONDS", 60.0)
    async with line_to("127.0.0.1", server.port) as line:
        repository = connected(server, grpc_port=line.port, timeout=stretched(2.0))
        await repository.open(SPACE)
        for _ in range(2):
            await line.cut()
            with pytest.raises(RepositoryUnavailableError):
                await repository.count()
            await line.mend()
            assert await repository.count() == 0
        await repository.close()


async def test_what_is_under_way_when_the_repository_is_closed_ends_with_a_reason(server: QdrantStandIn) -> None:
    repository = connected(server)
    await repository.open(SPACE)
    server.delays["Count"] = 600.0
    began = time.monotonic()
    counts = [asyncio.create_task(repository.count()) for _ in range(3)]
    assert await eventually(lambda: len(server.named(grpc.CountPoints)) == 3)
    await repository.close()
    outcomes = await asyncio.gather(*counts, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {RepositoryUnavailableError}
    assert "closed" in str(outcomes[0])
    assert time.monotonic() - began < 30.0


async def test_one_slow_request_makes_no_silent_server(server: QdrantStandIn) -> None:
    repository = connected(server, timeout=stretched(1.5))
    await repository.open(SPACE)
    server.delays["Count"] = 600.0
    with pytest.raises(RepositoryUnavailableError):
        await repository.count()
    assert await repository.get([an_id(1)]) == {}
    server.requests.clear()
    slow = asyncio.create_task(repository.count())
    assert await eventually(lambda: bool(server.named(grpc.CountPoints)))
    await repository.get([an_id(1)])
    server.delays["HealthCheck"] = 600.0
    with pytest.raises(RepositoryUnavailableError):
        await slow
    assert await repository.get([an_id(1)]) == {}, "it has answered while the slow one waited"
    await repository.close()


async def test_the_servers_own_deadline(server: QdrantStandIn, repository: QdrantSimilarityRepository) -> None:
    server.failures["Query"] = Failure(CODES.DEADLINE_EXCEEDED, "Operation 'search' timed out", times=1_000)
    with pytest.raises(RepositoryUnavailableError, match="timed out"):
        await repository.nearest(a_query(an_embedding(), limit=1))


async def test_a_rate_limit_names_when_to_come_back(
    server: QdrantStandIn, repository: QdrantSimilarityRepository
) -> None:
    server.failures["Count"] = Failure(
        CODES.RESOURCE_EXHAUSTED, "too many reads", times=1_000, trailing=(("retry-after", "170"),)
    )
    with pytest.raises(RepositoryUnavailableError, match="limits the rate") as caught:
        await repository.count()
    assert caught.value.retry_after == 170.0
    assert server.failures["Count"].times == 999, "to ask again sooner is of no use"


@pytest.mark.parametrize(
    "details",
    [
        "Service internal error: Out of disk, free: 1024, WAL needs more",
        "Service internal error: No space left on device (os error 28)",
        "Service internal error: Out of memory, free: 12",
    ],
)
async def test_a_full_server(server: QdrantStandIn, repository: QdrantSimilarityRepository, details: str) -> None:
    server.failures["Upsert"] = Failure(CODES.INTERNAL, details, times=1_000)
    with pytest.raises(StorageFullError, match="no room left"):
        await repository.upsert([an_image(1)])
    assert server.failures["Upsert"].times == 999


async def test_what_is_invalid_is_not_repeated(server: QdrantStandIn, repository: QdrantSimilarityRepository) -> None:
    server.failures["Upsert"] = Failure(CODES.INVALID_ARGUMENT, "strict mode: too many points", times=1_000)
    with pytest.raises(RepositoryUnavailableError, match="strict mode"):
        await repository.upsert([an_image(1)])
    assert server.failures["Upsert"].times == 999


# Batches


async def test_upserts_are_split_into_requests_that_a_server_takes(server: QdrantStandIn) -> None:
    repository = connected(server)
    await repository.open(SPACE)
    await repository.upsert([an_image(number) for number in range(150)])
    assert [len(request.points) for request in server.named(grpc.UpsertPoints)] == [64, 64, 22]
    server.requests.clear()
    largest = {f"key {number}": "\x01" * 38 for number in range(64)}  # six bytes of JSON for each character
    checked_metadata(largest)
    await repository.upsert([an_image(number, metadata=largest) for number in range(300)])
    sizes = [request.ByteSize() for request in server.named(grpc.UpsertPoints)]
    assert len(sizes) > 1
    assert max(sizes) < 10 * 2**20
    assert await repository.count() == 300
    await repository.close()


# Replacement, as other processes see it


async def test_an_index_replaced_by_another_space_is_not_mixed(server: QdrantStandIn) -> None:
    serving, operator = connected(server), connected(server)
    await serving.open(SPACE)
    await operator.open(SPACE)
    await serving.upsert([an_image(1)])
    new = await operator.replacement(OTHER_SPACE)
    await new.upsert([an_image(1, dimension=8)])
    assert await serving.count() == 1
    await operator.promote(new)
    with pytest.raises(EmbeddingSpaceError, match="replaced"):
        await serving.nearest(a_query(an_embedding(), limit=1))
    with pytest.raises(EmbeddingSpaceError, match="replaced"):
        await serving.upsert([an_image(2)])
    with pytest.raises(EmbeddingSpaceError, match="replaced"):
        await serving.get([an_id(1)])
    await serving.close()


async def test_an_index_replaced_by_the_same_space_is_followed(server: QdrantStandIn) -> None:
    serving, operator = connected(server), connected(server)
    await serving.open(SPACE)
    await operator.open(SPACE)
    new = await operator.replacement(SPACE)
    await new.upsert([an_image(number) for number in range(3)])
    await operator.promote(new)
    assert await serving.count() == 3
    await serving.upsert([an_image(7)])
    assert await serving.count() == 4
    assert await serving.update([a_record(99)]) == [an_id(99)]
    await serving.close()


async def test_a_promotion_whose_answer_was_lost_has_happened(server: QdrantStandIn) -> None:
    repository = connected(server)
    await repository.open(SPACE)
    new = await repository.replacement(OTHER_SPACE)
    server.failures["UpdateAliases"] = Failure(CODES.UNAVAILABLE, after_the_work=True)
    await repository.promote(new)
    await repository.open(OTHER_SPACE)
    names = [collection.name for collection in (await server.client.get_collections()).collections]
    assert names == [f"lookalike-{OTHER_SPACE.fingerprint}"]
    assert [alias.alias_name for alias in (await server.client.get_aliases()).aliases] == ["lookalike"]
    await repository.close()


async def test_a_crash_after_the_promotion_leaves_an_orphan_that_is_swept(server: QdrantStandIn) -> None:
    repository = connected(server)
    await repository.open(SPACE)
    await repository.upsert([an_image(1)])
    new = await repository.replacement(OTHER_SPACE)
    promoting = asyncio.create_task(repository.promote(new))

    async def the_process_dies() -> None:
        promoting.cancel()

    server.before["List"] = the_process_dies
    with pytest.raises(asyncio.CancelledError):
        await promoting
    await new.close()
    await repository.close()
    await repository.open(OTHER_SPACE)
    assert len((await server.client.get_collections()).collections) == 2
    server.before.clear()
    back = await repository.replacement(SPACE)
    assert await back.count() == 0, "the orphan's contents are old"
    await repository.promote(back)
    assert len((await server.client.get_collections()).collections) == 1


@pytest.mark.parametrize("refused", ["List", "DeleteCollection"])
async def test_a_promotion_after_which_the_server_fails_has_happened(
    server: QdrantStandIn, caplog: pytest.LogCaptureFixture, refused: str
) -> None:
    repository = connected(server)
    await repository.open(SPACE)
    await repository.upsert([an_image(1)])
    new = await repository.replacement(OTHER_SPACE)
    server.failures[refused] = Failure(CODES.PERMISSION_DENIED, "a key that may not", times=1_000)
    await repository.promote(new)
    assert "left for the next reindex to delete: a key that may not" in caplog.text
    await repository.open(OTHER_SPACE)
    assert len((await server.client.get_collections()).collections) == 2
    server.failures.clear()
    back = await repository.replacement(SPACE)
    assert await back.count() == 0, "the orphan's contents are old"
    await repository.promote(back)
    assert len((await server.client.get_collections()).collections) == 1


async def test_other_indexes_on_the_server_are_never_swept(server: QdrantStandIn) -> None:
    vectors = models.VectorParams(size=4, distance=models.Distance.DOT)
    theirs = "photos-0123456789abcdef"
    await server.client.create_collection(theirs, vectors_config=vectors)
    server.indexes[theirs] = {}
    neighbour = connected(server, collection="photos-2")
    await neighbour.open(SPACE)
    repository = connected(server, collection="photos")
    await repository.open(SPACE)
    await repository.promote(await repository.replacement(OTHER_SPACE))
    names = {collection.name for collection in (await server.client.get_collections()).collections}
    assert names == {theirs, f"photos-2-{SPACE.fingerprint}", f"photos-{OTHER_SPACE.fingerprint}"}
    await neighbour.close()
