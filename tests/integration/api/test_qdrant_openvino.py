"""The HTTP contract on the Qdrant adapter and OpenVINO: on a stand-in for a server, and on a real one."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.contracts.api import IndexContract
from tests.qdrant_server import QdrantServer
from tests.qdrant_stand_in import qdrant_stand_in_on_a_thread


class TestQdrantStandInWithOpenVino(IndexContract):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls) -> Iterator[dict[str, str]]:
        with qdrant_stand_in_on_a_thread() as server:
            yield {
                "REPOSITORY__BACKEND": "qdrant",
                "REPOSITORY__URL": server.url,
                "REPOSITORY__GRPC_PORT": str(server.port),
            }


class TestQdrantServerWithOpenVino(IndexContract):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls, qdrant_server: QdrantServer) -> Iterator[dict[str, str]]:
        collection = f"lookalike-api-test-{uuid.uuid4().hex[:12]}"
        settings = {
            "REPOSITORY__BACKEND": "qdrant",
            "REPOSITORY__URL": qdrant_server.url,
            "REPOSITORY__GRPC_PORT": str(qdrant_server.grpc_port),
            "REPOSITORY__COLLECTION": collection,
        }
        yield settings | ({"REPOSITORY__API_KEY": qdrant_server.api_key} if qdrant_server.api_key else {})
        headers = {"api-key": qdrant_server.api_key} if qdrant_server.api_key else {}
        with httpx.Client(base_url=qdrant_server.url, headers=headers, timeout=30) as server:
            for found in server.get("/collections").json()["result"]["collections"]:
                if found["name"].startswith(collection):
                    server.delete(f"/collections/{found['name']}")
