"""The whole service in this process, over a Qdrant at the far end of a line that tests disturb."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from dependency_injector import providers
from fastapi import FastAPI
from qdrant_client import AsyncQdrantClient

from domain.geometry import BoundingBox
from domain.images import DetectedObject, id_of_content, sha256_of
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from tests.builders import a_space
from tests.fakes import FakeDecoder, FakeDetector, FakeEncoder, FakeThumbnails
from tests.qdrant_stand_in import QdrantStandIn
from tests.tcp_proxy import TcpProxy

BY_GRPC_ONLY = "http://127.0.0.1:1"
"""The url of a server whose gRPC port is the proxy's."""

SLACK_SECONDS = 2.5
"""What an answer may take beside its wait for Qdrant, on a machine that does other things: see `stretched`."""

SAMPLE_SECONDS = 0.04
"""What `slowness` samples took on the machine on which the tests' patience was chosen."""


def slowness() -> float:
    """How many times slower this machine is now than that one; at least 1."""
    began = time.perf_counter()
    sum(range(2_500_000))
    return max(1.0, (time.perf_counter() - began) / SAMPLE_SECONDS)


def stretched(seconds: float) -> float:
    """As long for this machine, with what else it does now, as so many seconds for the one of SAMPLE_SECONDS."""
    return round(seconds * slowness(), 1)


@dataclass(frozen=True, kw_only=True)
class Qdrant:
    """A server, and the line to it. `stand_in` is None where it is a real one."""

    proxy: TcpProxy
    stand_in: QdrantStandIn | None
    url: str
    """Its host is that of the proxy; its port too, where it is asked over REST."""
    api_key: str | None
    collection: str
    timeout: float
    """Seconds for which the service shall wait for an answer."""
    slack: float = SLACK_SECONDS
    prefer_grpc: bool = True


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one request."""

    status: int
    seconds: float
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str | None:
        """The problem's code; of a batch, that of its failures if they all have the same."""
        if self.status == 207:
            codes = {item["problem"]["code"] if item["problem"] else None for item in self.body["results"]}
            return codes.pop() if len(codes) == 1 else None
        return self.body.get("code") if self.status >= 400 else None


def an_app(qdrant: Qdrant, directory: Path, **repository: Any) -> FastAPI:
    """The service with models that cost nothing; `repository` changes its settings."""
    values = {
        "backend": "qdrant",
        "url": qdrant.url,
        "grpc_port": qdrant.proxy.port,
        "api_key": qdrant.api_key,
        "collection": qdrant.collection,
        "timeout_seconds": qdrant.timeout,
        "prefer_grpc": qdrant.prefer_grpc,
    }
    app = create_app(
        Settings(_env_file=None, data_dir=directory, repository=values | repository, storage={"reserve_bytes": 0})
    )
    detector = FakeDetector()
    detector.found = [
        DetectedObject(label="dog", score=0.75, box=BoundingBox(x_min=x, y_min=2.0, x_max=x + 15.0, y_max=20.0))
        for x in (1.0, 14.0)
    ]
    container = app.state.container
    container.decoder.override(providers.Object(FakeDecoder()))
    container.thumbnails.override(providers.Object(FakeThumbnails()))
    container.encoder.override(providers.Object(FakeEncoder(space=a_space())))
    container.detector.override(providers.Object(detector))
    return app


class Service:
    """A client of the running service, with some pictures in it that every request of `everything` is about."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self._numbers = itertools.count()
        self.kept, self.patched, self.doomed = (f"picture {number}".encode() for number in ("a", "b", "c"))

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        began = time.monotonic()
        response = await self.client.request(method, path, **options)
        is_json = "json" in response.headers.get("content-type", "")
        return Answer(
            status=response.status_code,
            seconds=time.monotonic() - began,
            headers=response.headers,
            body=response.json() if is_json else response.content,
        )

    async def index(self, content: bytes, *, headers: Mapping[str, str] | None = None, **metadata: Any) -> Answer:
        form = {"metadata": json.dumps(metadata)} if metadata else {}
        return await self.ask("POST", "/v1/images", files={"file": ("a.png", content)}, data=form, headers=headers)

    async def get(self, content: bytes) -> Answer:
        return await self.ask("GET", path_of(content))

    async def total(self) -> int:
        answer = await self.ask("GET", "/v1/images")
        assert answer.status == 200, answer
        total: int = answer.body["total"]
        return total

    async def ready(self) -> Answer:
        return await self.ask("GET", "/health/ready")

    async def until_ready(self, *, within: float) -> float:
        """Seconds until it is."""
        began = time.monotonic()
        while (answer := await self.ready()).status != 200:
            assert time.monotonic() - began < within, answer.body
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def prepare(self) -> None:
        """Index what `everything` is about."""
        for content in (self.kept, self.patched, self.doomed):
            answer = await self.index(content, brand="acme")
            assert answer.status in {200, 201}, answer

    async def everything(self, headers: Mapping[str, str] | None = None) -> dict[str, Answer]:
        """One request of each kind, all at once."""
        new = [f"picture {next(self._numbers)}".encode() for _ in range(5)]
        query = {"file": ("query.png", b"a query")}
        batch = [("files", (f"{number}.png", content)) for number, content in enumerate(new[1:])]
        nothing = {"filter": {"all": [{"field": "metadata.brand", "eq": "nobody's"}]}}
        examples = {"positive": [str(id_of_content(sha256_of(self.kept)))]}
        requests = {
            "search": self.ask("POST", "/v1/search", files=query, headers=headers),
            "search for both": self.ask("POST", "/v1/search", files=query, data={"target": "any"}, headers=headers),
            "search by examples": self.ask("POST", "/v1/search/examples", json=examples, headers=headers),
            "similar": self.ask("GET", f"{path_of(self.kept)}/similar", headers=headers),
            "index": self.index(new[0], headers=headers),
            "batch": self.ask("POST", "/v1/images/batch", files=batch, headers=headers),
            "list": self.ask("GET", "/v1/images", headers=headers),
            "get": self.ask("GET", path_of(self.kept), headers=headers),
            "content": self.ask("GET", f"{path_of(self.kept)}/content", headers=headers),
            "facets": self.ask("POST", "/v1/facets", json={"fields": ["labels"]}, headers=headers),
            "patch": self.ask("PATCH", path_of(self.patched), json={"metadata": {"seen": True}}, headers=headers),
            "delete": self.ask("DELETE", path_of(self.doomed), headers=headers),
            "delete by filter": self.ask("POST", "/v1/images/delete", json=nothing, headers=headers),
            "models": self.ask("GET", "/v1/models", headers=headers),
            "ready": self.ask("GET", "/health/ready"),
            "live": self.ask("GET", "/health/live"),
        }
        return dict(zip(requests, await asyncio.gather(*requests.values()), strict=True))


def path_of(content: bytes) -> str:
    return f"/v1/images/{id_of_content(sha256_of(content))}"


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[Service]:
    """The service between its startup and shutdown."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client,
    ):
        yield Service(client)


@asynccontextmanager
async def without_collections(url: str, api_key: str | None, index: str) -> AsyncIterator[None]:
    """Leaves no collection of the index behind on a real server."""
    try:
        yield
    finally:
        headers = {"api-key": api_key} if api_key else None
        client = AsyncQdrantClient(url=url, headers=headers, check_compatibility=False, timeout=20)
        try:
            for found in (await client.get_collections()).collections:
                if found.name.startswith(index):
                    await client.delete_collection(found.name)
        finally:
            await client.close()
