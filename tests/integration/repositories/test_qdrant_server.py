"""The adapter on a real Qdrant server (see tests/qdrant_server.py)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from qdrant_client import AsyncQdrantClient, models

from adapters.repositories.qdrant.layout import image_vector, object_vector, payload_indexes
from adapters.repositories.qdrant.repository import QdrantSimilarityRepository
from adapters.repositories.qdrant.server import connection
from domain.errors import ConfigurationError, EmbeddingSpaceError, RepositoryUnavailableError
from domain.metadata import MetadataType
from domain.ports.similarity_repository import SimilarityRepository
from tests.builders import a_query, an_embedding, an_id, an_image, an_object
from tests.contracts.repository_cases import DECLARED
from tests.contracts.similarity_repository import OTHER_SPACE, SPACE, SimilarityRepositoryContract, where
from tests.disturbed_qdrant import stretched, without_collections
from tests.eventually import eventually
from tests.qdrant_server import QdrantServer
from tests.repositories import server_repository
from tests.tcp_proxy import line_to

Connect = Callable[..., QdrantSimilarityRepository]

INDEXED = {
    "brand": MetadataType.KEYWORD,
    "a.b": MetadataType.KEYWORD,
    "with space": MetadataType.INTEGER,
    "ключ": MetadataType.FLOAT,
    'quo"te': MetadataType.KEYWORD,
    "100%": MetadataType.FLOAT,
    "br[0]": MetadataType.BOOL,
}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may be busy with other tests, and the machine slow."""
    monkeypatch.setattr(connection, "OPENING_SECONDS", 60.0)


@pytest.fixture
async def client(qdrant_server: QdrantServer) -> AsyncIterator[AsyncQdrantClient]:
    """The server without our adapter, over REST."""
    headers = {"api-key": qdrant_server.api_key} if qdrant_server.api_key else None
    client = AsyncQdrantClient(url=qdrant_server.url, headers=headers, check_compatibility=False, timeout=20)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def collection(qdrant_server: QdrantServer) -> AsyncIterator[str]:
    """A name of this test's own, whose collections are removed in the end."""
    name = f"lookalike-test-{uuid.uuid4().hex[:12]}"
    async with without_collections(qdrant_server.url, qdrant_server.api_key, name):
        yield name


@pytest.fixture
async def connect(qdrant_server: QdrantServer, collection: str) -> AsyncIterator[Connect]:
    """Makes repositories over one index, as so many processes would, and closes them in the end."""
    made: list[QdrantSimilarityRepository] = []

    def make(**changes: Any) -> QdrantSimilarityRepository:
        values = {
            "url": qdrant_server.url,
            "grpc_port": qdrant_server.grpc_port,
            "api_key": qdrant_server.api_key,
            "collection": collection,
            "timeout": 60.0,
        }
        made.append(server_repository(**(values | changes)))
        return made[-1]

    yield make
    for repository in made:
        await repository.close()


class TestOverGrpc(SimilarityRepositoryContract):
    """With payload indexes on some of the odd keys."""

    @pytest.fixture
    def fresh(self, connect: Connect) -> SimilarityRepository:
        return connect(indexed_metadata=DECLARED | INDEXED)


class TestOverRest(SimilarityRepositoryContract):
    """With few payload indexes on metadata, and without quantization."""

    score_tolerance = 1e-4

    @pytest.fixture
    def fresh(self, connect: Connect) -> SimilarityRepository:
        return connect(prefer_grpc=False, quantization="none", on_disk_vectors=False, indexed_metadata=DECLARED)


async def test_the_collection_tells_its_space_and_has_its_indexes(
    connect: Connect, client: AsyncQdrantClient, collection: str
) -> None:
    repository = connect(indexed_metadata={"brand": MetadataType.KEYWORD, "a.b": MetadataType.FLOAT})
    await repository.open(SPACE)
    aliases = {alias.alias_name: alias.collection_name for alias in (await client.get_aliases()).aliases}
    assert aliases[collection] == f"{collection}-{SPACE.fingerprint}"
    info = await client.get_collection(collection)
    assert info.config.metadata is not None
    assert info.config.metadata["lookalike"]["space"] == SPACE.as_mapping()
    assert info.config.quantization_config is not None
    assert isinstance(info.config.params.vectors, dict)
    assert {name: vector.distance for name, vector in info.config.params.vectors.items()} == {
        image_vector(SPACE): models.Distance.COSINE,
        object_vector(SPACE): models.Distance.COSINE,
    }
    wanted = payload_indexes({"brand": MetadataType.KEYWORD, "a.b": MetadataType.FLOAT})
    assert len(info.payload_schema) == len(wanted)
    assert 'metadata_numbers."a.b".text' in info.payload_schema
    assert "metadata.brand" in info.payload_schema, (
        "we compare paths as the server spells them: without needless quotes"
    )


async def test_newly_configured_metadata_is_indexed_when_opened_again(
    connect: Connect, qdrant_server: QdrantServer, collection: str
) -> None:
    first = connect()
    await first.open(SPACE)
    await first.upsert([an_image(number, metadata={"brand": f"b{number % 3}"}) for number in range(30)])
    await first.close()
    again = connect(indexed_metadata={"brand": MetadataType.KEYWORD})
    await again.open(SPACE)
    assert await again.count(where("metadata.brand", eq="b1")) == 10

    def is_indexed() -> bool:
        where_it_is = f"{qdrant_server.url}/collections/{collection}"
        answer = httpx.get(where_it_is, headers={"api-key": qdrant_server.api_key or ""}, timeout=20.0)
        return "metadata.brand" in answer.json()["result"]["payload_schema"]

    assert await eventually(is_indexed)
    await again.close()


async def test_replicas_may_open_a_new_index_at_once(
    connect: Connect, client: AsyncQdrantClient, collection: str
) -> None:
    replicas = [connect(prefer_grpc=number % 2 == 0) for number in range(6)]
    await asyncio.gather(*(replica.open(SPACE) for replica in replicas))
    await asyncio.gather(*(replica.upsert([an_image(number)]) for number, replica in enumerate(replicas)))
    assert [await replica.count() for replica in replicas] == [6] * 6
    found = [found.name for found in (await client.get_collections()).collections if found.name.startswith(collection)]
    assert len(found) == 1


async def test_a_collection_of_somebody_else_is_left_alone(
    connect: Connect, client: AsyncQdrantClient, collection: str
) -> None:
    vectors = models.VectorParams(size=4, distance=models.Distance.DOT)
    await client.create_collection(collection, vectors_config=vectors)
    with pytest.raises(ConfigurationError, match="is not ours"):
        await connect().open(SPACE)


async def test_a_wrong_key_is_a_matter_of_configuration(connect: Connect, qdrant_server: QdrantServer) -> None:
    if qdrant_server.api_key is None:
        pytest.skip("the given server takes requests without a key: set TEST_QDRANT_API_KEY and start it with one")
    for prefer_grpc in (True, False):
        with pytest.raises(ConfigurationError, match="refuses the given API key"):
            await connect(api_key="wrong", prefer_grpc=prefer_grpc).open(SPACE)
        with pytest.raises(ConfigurationError, match="refuses requests without an API key"):
            await connect(api_key=None, prefer_grpc=prefer_grpc).open(SPACE)


@pytest.mark.parametrize("prefer_grpc", [True, False])
async def test_what_other_processes_see_of_a_replacement(
    connect: Connect, client: AsyncQdrantClient, collection: str, prefer_grpc: bool
) -> None:
    serving, operator = connect(prefer_grpc=prefer_grpc), connect()
    await serving.open(SPACE)
    await operator.open(SPACE)
    await serving.upsert([an_image(1)])
    same = await operator.replacement(SPACE)
    await same.upsert([an_image(number) for number in range(5)])
    assert await serving.count() == 1
    await operator.promote(same)
    assert await serving.count() == 5, "it follows an index of its own space"
    await operator.open(SPACE)
    other = await operator.replacement(OTHER_SPACE)
    await other.upsert([an_image(1, dimension=8)])
    await operator.promote(other)
    with pytest.raises(EmbeddingSpaceError, match="replaced"):
        await serving.nearest(a_query(an_embedding(1), limit=1))
    with pytest.raises(EmbeddingSpaceError, match="replaced"):
        await serving.upsert([an_image(2)])
    names = [found.name for found in (await client.get_collections()).collections if found.name.startswith(collection)]
    assert names == [f"{collection}-{OTHER_SPACE.fingerprint}"], "the old ones are deleted"


async def test_readers_see_the_old_index_or_the_new_one_and_nothing_else(connect: Connect) -> None:
    serving, operator = connect(), connect()
    await serving.open(SPACE)
    await operator.open(SPACE)
    await operator.upsert([an_image(number) for number in range(10)])
    new = await operator.replacement(SPACE)
    await new.upsert([an_image(number) for number in range(25)])
    seen: list[int] = []

    async def read() -> None:
        while not seen or seen[-1] != 25:
            seen.append(await serving.count())

    reader = asyncio.create_task(read())
    await operator.promote(new)
    async with asyncio.timeout(30):
        await reader
    assert set(seen) <= {10, 25}


async def test_a_line_that_is_cut_and_mended(connect: Connect, qdrant_server: QdrantServer) -> None:
    parts = urlsplit(qdrant_server.url)
    if parts.scheme != "http":
        pytest.skip("the line cannot be cut under TLS: its certificate names another host")
    async with line_to(parts.hostname or "", qdrant_server.grpc_port) as proxy:
        repository = connect(url="http://127.0.0.1:1", grpc_port=proxy.port, timeout=stretched(3.0))
        await repository.open(SPACE)
        await repository.upsert([an_image(1, objects=(an_object(),))])

        await proxy.cut()
        with pytest.raises(RepositoryUnavailableError):
            await repository.count()
        await proxy.start()
        assert await repository.count() == 1

        proxy.stall()
        with pytest.raises(RepositoryUnavailableError):
            await repository.upsert([an_image(2)])
        proxy.flow()
        await repository.upsert([an_image(2)])
        assert set(await repository.get([an_id(1), an_id(2)])) == {an_id(1), an_id(2)}
        await repository.close()
