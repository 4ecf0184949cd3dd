"""The HTTP contract on the Qdrant adapter and OpenVINO: on the client's local mode, and on a real server."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.contracts.api import ApiContract
from tests.qdrant_server import QdrantServer


class TestQdrantLocalModeWithOpenVino(ApiContract):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls) -> dict[str, str]:
        return {"REPOSITORY__BACKEND": "qdrant", "REPOSITORY__URL": ":memory:"}


class TestQdrantServerWithOpenVino(ApiContract):
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
