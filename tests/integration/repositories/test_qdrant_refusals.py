"""What callers of the service see of a Qdrant server that answers and refuses: full, busy, another key, another index.

On a stand-in, which can be told to.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc as transport
import pytest
from qdrant_client import models

from adapters.repositories.qdrant.layout import FORMAT, image_vector, object_vector
from adapters.repositories.qdrant.server import connection
from application import run_service
from domain.embeddings import EmbeddingSpace
from domain.errors import ConfigurationError, EmbeddingSpaceError, Remedy
from tests.builders import a_space
from tests.disturbed_qdrant import Qdrant, Service, an_app, path_of, serving
from tests.qdrant_stand_in import Failure, QdrantStandIn, qdrant_stand_in
from tests.tcp_proxy import line_to

CODES = transport.StatusCode
KEY = "a-key-that-nobody-may-read"
ALWAYS = 1_000_000

NAME = f"lookalike-{a_space().fingerprint}"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about time, and the machine may be slow."""
    monkeypatch.setattr(connection, "OPENING_SECONDS", 30.0)
    monkeypatch.setattr(run_service, "PATIENCE_SECONDS", 30.0)
    monkeypatch.setattr(run_service, "PROBE_SECONDS", 30.0)


@pytest.fixture
async def server() -> AsyncIterator[QdrantStandIn]:
    async with qdrant_stand_in() as server:
        yield server


@pytest.fixture
async def qdrant(server: QdrantStandIn) -> AsyncIterator[Qdrant]:
    server.api_key = KEY
    async with line_to("127.0.0.1", server.port) as proxy:
        yield Qdrant(proxy=proxy, stand_in=server, url=server.url, api_key=KEY, collection="lookalike", timeout=30.0)


@pytest.fixture
async def service(qdrant: Qdrant, tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(an_app(qdrant, tmp_path)) as service:
        await service.until_ready(within=60)
        await service.prepare()
        yield service


def a_collection(dimension: int, of: EmbeddingSpace, *, metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Made for `of`, with vectors of this dimension."""
    vectors = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    return {"vectors_config": {image_vector(of): vectors, object_vector(of): vectors}, "metadata": metadata}


def metadata_of(space: EmbeddingSpace) -> dict[str, Any]:
    identity = "6f0b3a52-5d0e-4f0c-9c55-7d0f2f6f5a11"
    ours = {"format": FORMAT, "index": "lookalike", "identity": identity, "space": space.as_mapping()}
    return {"lookalike": ours}


async def point(server: QdrantStandIn, name: str) -> None:
    """Let the index be the collection `name`."""
    alias = models.CreateAlias(alias_name="lookalike", collection_name=name)
    await server.client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])


@dataclass(frozen=True)
class Refusal:
    failure: Failure
    status: int
    code: str
    retry_after: str | None


REFUSALS = {
    "disk full": Refusal(
        Failure(CODES.INTERNAL, "No space left on device: the WAL exceeds it"), 507, "storage_full", None
    ),
    "memory full": Refusal(Failure(CODES.RESOURCE_EXHAUSTED, "Out of memory, free: 12"), 507, "storage_full", None),
    "rate limited": Refusal(
        Failure(CODES.RESOURCE_EXHAUSTED, "Write rate limit", trailing=(("retry-after", "170"),)),
        503,
        "repository_unavailable",
        "170",
    ),
    "strict mode": Refusal(Failure(CODES.INVALID_ARGUMENT, "too many points"), 503, "repository_unavailable", "1"),
    "read-only key": Refusal(Failure(CODES.PERMISSION_DENIED, "read only"), 503, "repository_unavailable", "1"),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_writes_that_are_refused_say_why_and_reads_go_on(
    server: QdrantStandIn, service: Service, what: str
) -> None:
    refusal = REFUSALS[what]
    failure = refusal.failure
    for method in ("Upsert", "Delete", "UpdateBatch"):
        server.failures[method] = Failure(failure.code, failure.details, ALWAYS, failure.trailing)
    answers = await service.everything()
    for request in ("index", "patch", "delete"):
        answer = answers.pop(request)
        assert (answer.status, answer.code) == (refusal.status, refusal.code), (request, answer)
        assert answer.headers.get("retry-after") == refusal.retry_after, request
    assert answers.pop("batch").code == refusal.code
    assert {what: answer for what, answer in answers.items() if answer.status >= 400} == {}

    server.failures.clear()
    assert {what: answer for what, answer in (await service.everything()).items() if answer.status >= 400} == {}
    assert (await service.get(service.patched)).body["metadata"] == {"brand": "acme", "seen": True}


async def test_what_cannot_be_tidied_up_does_not_fail_the_write(server: QdrantStandIn, service: Service) -> None:
    server.failures["Delete"] = Failure(CODES.PERMISSION_DENIED, "not now", ALWAYS)
    patch = await service.ask("PATCH", path_of(service.patched), json={"metadata": {"seen": True}})
    assert (patch.status, patch.body["metadata"]) == (200, {"brand": "acme", "seen": True})
    found = await service.ask("POST", "/v1/search", files={"file": ("q.png", b"q")}, data={"target": "objects"})
    assert [match["image"]["metadata"] for match in found.body["matches"]].count({"brand": "acme", "seen": True}) == 1


async def test_a_key_that_is_changed_on_the_server(
    server: QdrantStandIn, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    server.api_key = "another"
    answers = await service.everything()
    assert answers.pop("live").status == 200
    assert answers.pop("batch").code == "repository_unavailable"
    ready = answers.pop("ready")
    assert (ready.status, ready.code) == (503, "not_ready")
    assert "refuses our API key" in ready.body["detail"]
    assert {(answer.status, answer.code) for answer in answers.values()} == {(503, "repository_unavailable")}
    assert KEY not in caplog.text
    assert not any(KEY in str(answer.body) for answer in [ready, *answers.values()])
    server.api_key = KEY
    await service.until_ready(within=60)
    assert (await service.get(service.kept)).status == 200


async def test_a_collection_that_is_deleted_and_restored(server: QdrantStandIn, service: Service) -> None:
    await server.client.delete_collection(NAME)
    answers = await service.everything()
    assert answers.pop("live").status == 200
    assert answers.pop("batch").code == "repository_unavailable"
    assert "was deleted" in answers.pop("ready").body["detail"]
    assert {(answer.status, answer.code) for answer in answers.values()} == {(503, "repository_unavailable")}

    await server.client.create_collection(NAME, **a_collection(16, a_space(), metadata=metadata_of(a_space())))
    await point(server, NAME)
    await service.until_ready(within=60)
    await service.prepare()


@pytest.mark.parametrize("kind", ["another space", "another dimension under the same name", "not ours", "damaged"])
async def test_a_collection_that_is_replaced_by_one_that_does_not_fit(
    server: QdrantStandIn, service: Service, kind: str
) -> None:
    other = a_space(8, model="other")
    name, space, metadata = {
        "another space": (f"lookalike-{other.fingerprint}", other, metadata_of(other)),
        "another dimension under the same name": (NAME, other, metadata_of(other)),
        "not ours": (NAME, other, None),
        "damaged": (NAME, a_space(), metadata_of(a_space())),
    }[kind]
    await server.client.delete_collection(NAME)
    await server.client.create_collection(name, **a_collection(8, space, metadata=metadata))
    server.indexes[name] = {}
    await point(server, name)
    answers = await service.everything()
    assert answers["live"].status == 200
    assert (answers["ready"].status, answers["ready"].code) == (503, "not_ready")
    assert "replaced" in answers["ready"].body["detail"]
    for what in ("search", "index"):
        assert (answers[what].status, answers[what].code) == (409, "embedding_space_mismatch"), answers[what]
        assert "replaced" in answers[what].body["detail"]
    assert answers["batch"].code == "embedding_space_mismatch"
    assert max(answer.status for answer in answers.values()) < 504


# At the start


async def test_a_wrong_key_stops_the_start(qdrant: Qdrant, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="refuses the given API key") as caught:
        async with serving(an_app(qdrant, tmp_path, api_key="wrong-and-secret")):
            pass
    assert "wrong-and-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_an_index_of_another_space_stops_the_start(server: QdrantStandIn, qdrant: Qdrant, tmp_path: Path) -> None:
    other = a_space(8)
    await server.client.create_collection("lookalike-other", **a_collection(8, other, metadata=metadata_of(other)))
    server.indexes["lookalike-other"] = {}
    await point(server, "lookalike-other")
    with pytest.raises(EmbeddingSpaceError) as caught:
        async with serving(an_app(qdrant, tmp_path)):
            pass
    assert caught.value.remedy is Remedy.REINDEX_EMBEDDINGS


async def test_a_server_of_an_old_version_stops_the_start(
    server: QdrantStandIn, qdrant: Qdrant, tmp_path: Path
) -> None:
    server.version = "1.18.3"
    with pytest.raises(ConfigurationError, match=r"1\.19 or later"):
        async with serving(an_app(qdrant, tmp_path)):
            pass
