"""Harm to a Qdrant cluster: each node killed in turn and brought back, while two replicas of the service are used.

The environment variable TEST_QDRANT_CLUSTER names three nodes, as JSON or as the path of a file of JSON:

    [
      {
        "url": "http://127.0.0.1:6333",
        "grpc_port": 6334,
        "stop": "docker kill qdrant-1",
        "start": "docker start qdrant-1"
      },
      ...
    ]

`stop` kills the node's process with SIGKILL. `start` brings the node back with the storage that it had, and returns
while it runs. Both are run by `sh`. TEST_QDRANT_API_KEY is the cluster's key, if it has one. Without
TEST_QDRANT_CLUSTER the section is skipped, and its row says so.
"""

import asyncio
import itertools
import json
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tests import serving
from tests.pictures import a_picture

from torture.balancer import Address, balancing
from torture.report import Row

VARIABLE = "TEST_QDRANT_CLUSTER"
NODES = 3
SHARDS, COPIES = 3, 2
"""Of the collection: any one node may be away, and every shard is still there."""

WRITERS, SEARCHERS = 2, 2
PAUSE_SECONDS = 0.05
"""Between two requests of a writer or searcher, so that the cores that the nodes share are not what is measured."""

DOWN_SECONDS, SHORT_DOWN_SECONDS = 15.0, 12.0
"""Longer than the service waits for Qdrant (10 s), so that no request just waits until the node is back."""

CALM_SECONDS, SHORT_CALM_SECONDS = 3.0, 1.0
COMMAND_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""After a start, within which the node has to answer and every copy of every shard to be active."""
CLEANING_SECONDS = 20.0
ANSWER_SECONDS = 30.0
"""After these, an answer counts as never come."""
MOST_SECONDS = 300.0
"""For the load, the kills and the search for every picture: half of it is enough on two cores."""

LEAST_SCORE = 0.98
"""Cosine similarity of a picture to itself, with room for what the index rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of the cluster, and the commands that kill it and bring it back."""

    url: str
    grpc_port: int
    stop: str
    start: str

    @property
    def rest_address(self) -> Address:
        """Host and port of its REST API."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 6333

    @property
    def grpc_address(self) -> Address:
        """Host and port of its gRPC API."""
        return self.rest_address[0], self.grpc_port


def parse_nodes(given: str) -> tuple[Node, ...]:
    """The nodes that the value of TEST_QDRANT_CLUSTER names. Raises ValueError saying what is wrong with it."""
    text = given if given.lstrip().startswith("[") else _read(Path(given))
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{VARIABLE} is no JSON: {error}") from None
    if not isinstance(entries, list) or len(entries) != NODES:
        raise ValueError(f"{VARIABLE} has to be a list of {NODES} nodes")
    return tuple(_node(entry) for entry in entries)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ValueError(f"{VARIABLE} is neither JSON nor a file that can be read: {error}") from None


def _node(entry: object) -> Node:
    types = {field.name: field.type for field in fields(Node)}
    if not isinstance(entry, dict) or {name: type(value) for name, value in entry.items()} != types:
        raise ValueError(
            f"{VARIABLE}: {entry!r} is no node; one has the texts url, stop, start and the number grpc_port"
        )
    node = Node(**entry)
    parts = urlsplit(node.url)
    if parts.scheme != "http" or not parts.hostname or parts.path:
        raise ValueError(f"{VARIABLE}: {node.url!r} is no address of a node; write http://127.0.0.1:6333")
    return node


def run(directory: Path, *, short: bool) -> Iterable[Row]:
    """Writes, searches, and whether everything is there afterwards. Short: only the first node is killed."""
    given = os.environ.get(VARIABLE)
    if not given:
        print(f"   SKIPPED: {VARIABLE} names no nodes", flush=True)
        return [Row(what=f"cluster: SKIPPED, {VARIABLE} names no nodes", times=0)]
    try:
        nodes = parse_nodes(given)
    except ValueError as error:
        raise AssertionError(str(error)) from error
    return asyncio.run(_run(directory, nodes, short=short))


async def _run(directory: Path, nodes: Sequence[Node], *, short: bool) -> list[Row]:
    index = f"lookalike-torture-{uuid.uuid4().hex[:12]}"
    key = os.environ.get("TEST_QDRANT_API_KEY") or None
    async with AsyncExitStack() as until_the_end:
        enter = until_the_end.enter_async_context
        cluster = await enter(_Cluster(nodes, index, key, directory / "commands.log"))
        await cluster.require_healthy()
        rest = await enter(balancing((node.rest_address for node in nodes), cluster.is_ready))
        grpc = await enter(balancing((node.grpc_address for node in nodes), cluster.is_ready))
        url = f"http://127.0.0.1:{rest.port}"
        until_the_end.push_async_callback(cluster.delete_collections)
        settings = {
            "DATA_DIR": str(directory / "data"),
            "DETECTOR__RUNTIME": "none",
            "REPOSITORY__BACKEND": "qdrant",
            "REPOSITORY__URL": url,
            "REPOSITORY__GRPC_PORT": str(grpc.port),
            "REPOSITORY__COLLECTION": index,
            "REPOSITORY__SHARD_NUMBER": str(SHARDS),
            "REPOSITORY__REPLICATION_FACTOR": str(COPIES),
            "STORAGE__RESERVE_BYTES": "0",
        }
        if key:
            settings["REPOSITORY__API_KEY"] = key
        replicas = [
            await enter(_serving(directory / name, settings | {"REPOSITORY__PREFER_GRPC": prefers_grpc}))
            for name, prefers_grpc in (("by-grpc", "true"), ("by-rest", "false"))
        ]
        await cluster.require_healthy()
        api = await enter(balancing(_address(replica.url) for replica in replicas))
        try:
            async with asyncio.timeout(MOST_SECONDS):
                return await _harm(cluster, f"http://127.0.0.1:{api.port}", replicas, short=short)
        except TimeoutError:
            raise AssertionError(f"the section was not done after {MOST_SECONDS:g} s") from None


async def _harm(cluster: "_Cluster", url: str, replicas: Sequence[serving.Service], *, short: bool) -> list[Row]:
    """Kill node after node under load, then look for every picture."""
    recovered = []
    down, calm = (SHORT_DOWN_SECONDS, SHORT_CALM_SECONDS) if short else (DOWN_SECONDS, CALM_SECONDS)
    harmed = cluster.nodes[:1] if short else cluster.nodes
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS) as client:
        load = _Load(client)
        async with load.going_on():
            for node in harmed:
                await asyncio.sleep(calm)
                async with cluster.killed(node):
                    await asyncio.sleep(down)
                recovered.append(await cluster.require_healthy())
                print(f"   {node.url} is back after {recovered[-1]:.1f} s: {load.writes}, {load.searches}", flush=True)
            await asyncio.sleep(calm)
    for replica in replicas:
        async with httpx.AsyncClient(base_url=replica.url, timeout=ANSWER_SECONDS) as client:
            await load.look_for_every_picture(client)
    return load.rows(f"cluster: {len(harmed)} of {NODES} Qdrant nodes killed (-9) in turn", recovered=max(recovered))


@dataclass(slots=True)
class _Count:
    """What became of the requests of one kind."""

    what: str
    requests: int = 0
    failed: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        return f"{self.requests:,} {self.what}, {self.failed} failed, slowest {self.slowest:.2f} s"


class _Load:
    """Indexes pictures and searches for those that were acknowledged, through the balancer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._numbers = itertools.count()
        self._acknowledged: dict[str, bytes] = {}
        self._sought = 0
        self._lost: set[str] = set()
        self.writes = _Count("writes")
        self.searches = _Count("searches")

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """All writers and searchers, while the block runs."""
        stop = asyncio.Event()
        acts = [self._write] * WRITERS + [self._search] * SEARCHERS
        tasks = [asyncio.create_task(_repeat(act, stop)) for act in acts]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def look_for_every_picture(self, client: httpx.AsyncClient) -> None:
        """Search for each acknowledged picture by its bytes, and see that no other is there."""
        pictures = iter(list(self._acknowledged.items()))

        async def look_for_some() -> None:
            for id_, content in pictures:
                answer = await self._find(client, content, self.searches)
                self._sought += 1
                if answer is not None and not _is_first(answer, id_):
                    self._lose(id_, f"a search for it finds {answer.text[:300]}")

        await asyncio.gather(*(look_for_some() for _ in range(SEARCHERS)))
        listed = await self._ask(client, self.searches, {200}, "GET", "/v1/images", params={"limit": 1})
        known, most = len(self._acknowledged), len(self._acknowledged) + self.writes.failed
        if listed is not None and not known <= listed.json()["total"] <= most:
            self._lose("the total", f"{listed.json()['total']} pictures are listed, {known} to {most} were sent")

    def rows(self, what: str, *, recovered: float) -> list[Row]:
        """What was done, and what became of it."""
        return [
            Row(
                what=f"{what}, writes meanwhile",
                times=self.writes.requests,
                acknowledged=len(self._acknowledged),
                lost=len(self._lost),
                server_errors=self.writes.failed,
                slowest_seconds=self.writes.slowest,
                recovered_seconds=recovered,
            ),
            Row(
                what=f"{what}, searches meanwhile and then for every picture",
                times=self.searches.requests,
                server_errors=self.searches.failed,
                slowest_seconds=self.searches.slowest,
            ),
        ]

    async def _write(self) -> None:
        content = a_picture(next(self._numbers))
        files = {"file": ("a.png", content)}
        answer = await self._ask(self._client, self.writes, {201}, "POST", "/v1/images", files=files)
        if answer is not None:
            self._acknowledged[answer.json()["id"]] = content

    async def _search(self) -> None:
        if not self._acknowledged:
            return
        id_ = random.choice(list(self._acknowledged))
        answer = await self._find(self._client, self._acknowledged[id_], self.searches)
        if answer is not None and not _is_first(answer, id_):
            self._lose(id_, f"a search for it finds {answer.text[:300]}")

    async def _find(self, client: httpx.AsyncClient, content: bytes, count: _Count) -> httpx.Response | None:
        form = {"files": {"file": ("a.png", content)}, "data": {"limit": "1"}}
        return await self._ask(client, count, {200}, "POST", "/v1/search", **form)

    async def _ask(
        self, client: httpx.AsyncClient, count: _Count, expected: set[int], method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        """The answer, or None where it is not as expected or has not come."""
        count.requests += 1
        began = time.monotonic()
        try:
            answer = await client.request(method, path, **options)
            why = "" if answer.status_code in expected else f"{answer.status_code} {answer.text[:300]}"
        except httpx.HTTPError as error:
            why = repr(error)
        seconds = time.monotonic() - began
        count.slowest = max(count.slowest, seconds)
        if not why:
            return answer
        count.failed += 1
        print(f"failed: {method} {path} after {seconds:.2f} s: {why}", flush=True)
        return None

    def _lose(self, id_: str, why: str) -> None:
        self._lost.add(id_)
        print(f"lost: {id_}: {why}", flush=True)


def _is_first(answer: httpx.Response, id_: str) -> bool:
    matches = answer.json()["matches"]
    return bool(matches) and matches[0]["image"]["id"] == id_ and matches[0]["score"] >= LEAST_SCORE


async def _repeat(act: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        await act()
        await asyncio.sleep(PAUSE_SECONDS)


class _Cluster:
    """The nodes: killed, brought back, and asked how they are."""

    def __init__(self, nodes: Sequence[Node], index: str, key: str | None, log: Path) -> None:
        self.nodes = nodes
        self._index = index
        self._log = log
        self._client = httpx.AsyncClient(timeout=5, headers={"api-key": key} if key else None)

    async def __aenter__(self) -> "_Cluster":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def killed(self, node: Node) -> AsyncIterator[None]:
        """Without this node while the block runs; it is started again whatever happens."""
        try:
            await self._do(node.stop)
            await _until(lambda: self._is_gone(node), COMMAND_SECONDS, f"{node.stop!r} does not end {node.url}")
            yield
        finally:
            await self._do(node.start)

    async def is_ready(self, address: Address) -> bool:
        """Whether the node at this address has caught up. One that has just started answers from what it had before."""
        node = next(node for node in self.nodes if address in {node.rest_address, node.grpc_address})
        return await self._get(node, "/readyz") is not None

    async def require_healthy(self) -> float:
        """Seconds until every node is ready and every copy of the index's shards is active."""
        began = time.monotonic()
        await _until(self._is_healthy, HEALTHY_SECONDS, f"not all shards are active after {HEALTHY_SECONDS:g} s")
        return time.monotonic() - began

    async def delete_collections(self) -> None:
        """Leave nothing behind, where the nodes can do it."""
        for node in self.nodes:
            try:
                answer = await self._client.get(f"{node.url}/collections", timeout=CLEANING_SECONDS)
                for name in self._ours(answer):
                    address = f"{node.url}/collections/{name}"
                    (await self._client.delete(address, timeout=CLEANING_SECONDS)).raise_for_status()
            except httpx.HTTPError as error:
                print(f"   collections of {self._index} may be left at {node.url}: {error!r}", flush=True)

    def _ours(self, answer: httpx.Response) -> list[str]:
        """The names of the index's collections among all."""
        names = (str(found["name"]) for found in answer.json()["result"]["collections"])
        return [name for name in names if name.startswith(self._index)]

    async def _is_gone(self, node: Node) -> bool:
        return await self._get(node, "/livez") is None

    async def _is_healthy(self) -> bool:
        return all([await self._is_whole(node) for node in self.nodes])

    async def _is_whole(self, node: Node) -> bool:
        """Whether the node is ready, and knows the copies of all shards as active and none as under way."""
        collections = await self._get(node, "/collections")
        if collections is None or await self._get(node, "/readyz") is None:
            return False
        for name in self._ours(collections):
            answer = await self._get(node, f"/collections/{name}/cluster")
            if answer is None or not _all_active(answer.json()["result"]):
                return False
        return True

    async def _get(self, node: Node, path: str) -> httpx.Response | None:
        """The answer if it is a good one."""
        try:
            answer = await self._client.get(f"{node.url}{path}")
        except httpx.TransportError:
            return None
        return answer if answer.status_code == 200 else None

    async def _do(self, command: str) -> None:
        """Run a command to its end. What it leaves running goes on, in a session of its own."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                code = await asyncio.wait_for(process.wait(), COMMAND_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
                raise AssertionError(f"{command!r} has not ended after {COMMAND_SECONDS:g} s") from None
        if code:
            raise AssertionError(f"{command!r} ended with {code}:\n{self._log.read_text(errors='replace')[-2000:]}")


def _all_active(layout: Mapping[str, Any]) -> bool:
    """Whether a node says so of all shards. `layout` is its answer to `GET /collections/{collection}/cluster`."""
    copies = [*layout["local_shards"], *layout["remote_shards"]]
    is_complete = len(copies) == SHARDS * COPIES
    return is_complete and not layout["shard_transfers"] and all(copy["state"] == "Active" for copy in copies)


async def _until(holds: Callable[[], Awaitable[bool]], seconds: float, otherwise: str) -> None:
    """Raise AssertionError if it does not hold within so many seconds."""
    give_up = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < give_up, otherwise
        await asyncio.sleep(0.1)


@asynccontextmanager
async def _serving(directory: Path, settings: Mapping[str, str]) -> AsyncIterator[serving.Service]:
    service = await asyncio.to_thread(serving.start, directory, settings)
    try:
        yield service
    finally:
        await asyncio.to_thread(serving.stop, service)


def _address(url: str) -> Address:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80
