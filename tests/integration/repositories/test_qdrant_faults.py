"""What callers of the service see of a Qdrant server that is slow, silent, gone or back again.

On a stand-in in this process, and on a real server when there is one (see tests/qdrant_server.py).
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from adapters.repositories.qdrant.server.connection import CHECK_SECONDS
from application import run_service
from tests.disturbed_qdrant import (
    BY_GRPC_ONLY,
    SLACK_SECONDS,
    Answer,
    Qdrant,
    Service,
    an_app,
    path_of,
    serving,
    stretched,
    without_collections,
)
from tests.eventually import eventually
from tests.qdrant_rest_stand_in import qdrant_rest_stand_in
from tests.qdrant_server import QdrantServer
from tests.qdrant_stand_in import qdrant_stand_in
from tests.tcp_proxy import TcpProxy, line_to

RECOVERY_SECONDS = 6.0
"""From the end of a fault until the service is ready: see `stretched`."""

LATER_THAN_ANY_TIMEOUT = 600.0

FAULTS: dict[str, Callable[[TcpProxy], object]] = {
    "it refuses connections": TcpProxy.cut,
    "it accepts and never answers": TcpProxy.stall,
    "its answers are lost": TcpProxy.hold_answers,
    "it answers too late": lambda line: setattr(line, "latency", LATER_THAN_ANY_TIMEOUT),
    "it trickles": lambda line: setattr(line, "bytes_per_second", 2.0),
    "it resets in the middle of an answer": lambda line: setattr(line, "reset_after", 30),
    "it answers garbage": lambda line: setattr(line, "garbles", True),
}


@pytest.fixture(params=["stand-in", "server"])
async def qdrant(request: pytest.FixtureRequest) -> AsyncIterator[Qdrant]:
    match request.param:
        case "stand-in":
            where = stand_in()
        case "stand-in over REST":
            where = rest_stand_in()
        case "server":
            where = real(request.getfixturevalue("qdrant_server"))
        case _:
            where = real(request.getfixturevalue("qdrant_server"), prefer_grpc=False)
    async with where as qdrant:
        yield qdrant


OVER_REST = ["it refuses connections", "it accepts and never answers", "it answers garbage"]
PLACES = ["stand-in", "server"]


@asynccontextmanager
async def stand_in() -> AsyncIterator[Qdrant]:
    async with qdrant_stand_in() as server, line_to("127.0.0.1", server.port) as proxy:
        yield Qdrant(
            proxy=proxy,
            stand_in=server,
            url=BY_GRPC_ONLY,
            api_key=None,
            collection="lookalike",
            timeout=stretched(1.5),
            slack=stretched(SLACK_SECONDS),
        )


@asynccontextmanager
async def rest_stand_in() -> AsyncIterator[Qdrant]:
    async with qdrant_rest_stand_in() as server, line_to("127.0.0.1", server.port) as proxy:
        yield Qdrant(
            proxy=proxy,
            stand_in=None,
            url=f"http://127.0.0.1:{proxy.port}",
            api_key=None,
            collection="lookalike",
            timeout=stretched(1.5),
            slack=stretched(SLACK_SECONDS),
            prefer_grpc=False,
        )


@asynccontextmanager
async def real(server: QdrantServer, *, prefer_grpc: bool = True) -> AsyncIterator[Qdrant]:
    parts = urlsplit(server.url)
    if parts.scheme != "http":
        pytest.skip("the line cannot be disturbed under TLS: its certificate names another host")
    collection = f"lookalike-test-{uuid.uuid4().hex[:12]}"
    async with (
        without_collections(server.url, server.api_key, collection),
        line_to(parts.hostname or "", server.grpc_port if prefer_grpc else parts.port or 80) as proxy,
    ):
        yield Qdrant(
            proxy=proxy,
            stand_in=None,
            url=BY_GRPC_ONLY if prefer_grpc else f"http://127.0.0.1:{proxy.port}",
            api_key=server.api_key,
            collection=collection,
            timeout=stretched(2.0),
            slack=stretched(SLACK_SECONDS),
            prefer_grpc=prefer_grpc,
        )


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine the service waits longer too, where no setting says how long."""
    monkeypatch.setattr(run_service, "PROBE_SECONDS", stretched(run_service.PROBE_SECONDS))


@pytest.fixture
async def service(qdrant: Qdrant, tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(an_app(qdrant, tmp_path)) as service:
        await service.until_ready(within=stretched(30))
        await service.prepare()
        yield service


async def begin(fault: str, line: TcpProxy) -> None:
    begun = FAULTS[fault](line)
    if asyncio.iscoroutine(begun):
        await begun


def held() -> tuple[int, int]:
    """File descriptors and tasks of this process."""
    return psutil.Process().num_fds(), len(asyncio.all_tasks())


async def is_released(before: tuple[int, int]) -> bool:
    """Whether no more is held than before, soon."""
    return await eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))


@pytest.mark.parametrize(
    ("qdrant", "fault"),
    [
        *((place, fault) for place in PLACES for fault in FAULTS),
        *((f"{place} over REST", fault) for place in PLACES for fault in OVER_REST),
    ],
    indirect=["qdrant"],
)
async def test_every_answer_comes_in_time_and_names_the_index_and_all_is_well_afterwards(
    qdrant: Qdrant, service: Service, fault: str
) -> None:
    before = held()
    await begin(fault, qdrant.proxy)
    answers = await service.everything()
    assert answers.pop("live").status == 200
    ready = answers.pop("ready")
    assert (ready.status, ready.code) == (503, "not_ready")
    assert ready.body["missing"][0].startswith("repository: ")
    batch = answers.pop("batch")
    assert (batch.status, batch.code) == (207, "repository_unavailable")
    for what, answer in answers.items():
        assert (answer.status, answer.code) == (503, "repository_unavailable"), (what, answer)
        assert int(answer.headers["retry-after"]) >= 1, what
    late = {what: answer.seconds for what, answer in answers.items() if answer.seconds > qdrant.timeout + qdrant.slack}
    assert late == {}

    await qdrant.proxy.mend()
    await service.until_ready(within=stretched(RECOVERY_SECONDS))
    await service.prepare()  # what was to be deleted may be gone by now
    await all_is_well(service)
    assert (await service.get(service.kept)).body["metadata"] == {"brand": "acme"}
    assert await is_released(before), (held(), before)


async def all_is_well(service: Service) -> None:
    answers = await service.everything()
    assert {what: answer for what, answer in answers.items() if answer.status >= 400} == {}
    assert answers["batch"].body["failed"] == 0


async def test_slow_is_not_away(qdrant: Qdrant, tmp_path: Path) -> None:
    async with serving(an_app(qdrant, tmp_path, timeout_seconds=stretched(5.0))) as service:
        await service.until_ready(within=stretched(30))
        await service.prepare()
        qdrant.proxy.latency = 0.02
        await all_is_well(service)
        qdrant.proxy.latency, qdrant.proxy.bytes_per_second = 0.0, 200_000.0
        await service.prepare()
        await all_is_well(service)


async def test_a_restart_within_the_timeout_is_waited_for(qdrant: Qdrant, tmp_path: Path) -> None:
    async with serving(an_app(qdrant, tmp_path, timeout_seconds=stretched(8.0))) as service:
        await service.until_ready(within=stretched(30))
        await service.prepare()
        await qdrant.proxy.cut()
        answers = asyncio.create_task(all_is_well(service))
        await asyncio.sleep(0.4)
        await qdrant.proxy.mend()
        await answers


async def test_a_connection_that_vanished_is_replaced_while_a_request_waits(qdrant: Qdrant, tmp_path: Path) -> None:
    """Nobody was told that it is gone: as when a server loses its power, or a gateway its memory."""
    timeout = stretched(3.0)
    async with serving(an_app(qdrant, tmp_path, timeout_seconds=timeout)) as service:
        await service.until_ready(within=stretched(30))
        await service.prepare()
        before = held()
        qdrant.proxy.drop()
        began = time.monotonic()
        await all_is_well(service)
        assert time.monotonic() - began < timeout + qdrant.slack
        assert await is_released(before), (held(), before)


@pytest.mark.parametrize("fault", ["it refuses connections", "its answers are lost"])
async def test_writes_amid_which_the_line_breaks_are_there_if_acknowledged_and_may_be_sent_again(
    qdrant: Qdrant, service: Service, fault: str
) -> None:
    there = [f"there {number}".encode() for number in range(12)]
    assert {(await service.index(content, brand="acme")).status for content in there} == {201}
    patched, deleted, new = there[:6], there[6:], [f"new {number}".encode() for number in range(6)]

    async def write() -> list[Answer]:
        return await asyncio.gather(
            *(service.ask("PATCH", path_of(content), json={"metadata": {"seen": True}}) for content in patched),
            *(service.ask("DELETE", path_of(content)) for content in deleted),
            *(service.index(content, brand="new") for content in new),
        )

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.03)
    await begin(fault, qdrant.proxy)
    first = await writing
    assert {answer.status for answer in first} <= {200, 201, 204, 503}
    await qdrant.proxy.mend()
    await service.until_ready(within=stretched(RECOVERY_SECONDS))
    for content, answer in zip(patched + deleted + new, first, strict=True):
        if answer.status < 400:
            found = await service.get(content)
            assert (found.status == 404) == (content in deleted), (content, answer, found)
            assert found.status == 404 or content in new or found.body["metadata"] == {"brand": "acme", "seen": True}

    assert {answer.status for answer in await write()} <= {200, 201, 204, 404}
    assert [(await service.get(content)).body["metadata"] for content in patched] == [
        {"brand": "acme", "seen": True} for _ in patched
    ]
    assert [(await service.get(content)).status for content in deleted] == [404 for _ in deleted]
    assert [(await service.get(content)).body["metadata"] for content in new] == [{"brand": "new"} for _ in new]
    assert await service.total() == 3 + len(patched) + len(new)


async def test_the_callers_deadline_ends_the_wait(qdrant: Qdrant, tmp_path: Path) -> None:
    """Long before the connection is given up, which takes two thirds of the timeout."""
    async with serving(an_app(qdrant, tmp_path, timeout_seconds=stretched(9.0))) as service:
        await service.until_ready(within=stretched(30))
        await service.prepare()
        qdrant.proxy.stall()
        answers = await service.everything({"X-Request-Deadline-Ms": "150"})
    assert answers.pop("live").status == 200
    assert answers.pop("ready").status == 503
    assert {what: (answer.status, answer.code) for what, answer in answers.items() if what != "batch"} == {
        what: (504, "deadline_passed") for what in answers if what != "batch"
    }
    assert answers["batch"].code == "deadline_passed"
    late = {what: answer.seconds for what, answer in answers.items() if answer.seconds > 0.15 + qdrant.slack}
    assert late == {}


async def test_many_callers_of_a_silent_server_get_prompt_answers(qdrant: Qdrant, service: Service) -> None:
    before, memory = held(), psutil.Process().memory_info().rss
    qdrant.proxy.stall()
    for prompt in (qdrant.timeout, CHECK_SECONDS):
        picture = os.urandom(100_000)
        answers = await asyncio.gather(*(service.index(picture + bytes([number])) for number in range(128)))
        assert {(answer.status, answer.code) for answer in answers} == {(503, "repository_unavailable")}
        assert max(answer.seconds for answer in answers) < prompt + qdrant.slack
    assert psutil.Process().memory_info().rss - memory < 100 * 2**20
    await qdrant.proxy.mend()
    await service.until_ready(within=stretched(RECOVERY_SECONDS))
    await all_is_well(service)
    assert await is_released(before), (held(), before)


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_line_that_is_cut_while_connections_come_leaves_none_open() -> None:
    """Of the proxy: what it left open would end other tests, when it is found."""
    before = psutil.Process().num_fds()
    for turns in range(8):
        async with line_to("127.0.0.1", 1) as proxy:
            clients = [socket.socket() for _ in range(3)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", proxy.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        for client in clients:
            client.close()
    assert await eventually(lambda: psutil.Process().num_fds() <= before)


# At the start


async def test_a_server_that_is_away_at_the_start_is_opened_when_it_is_there(qdrant: Qdrant, tmp_path: Path) -> None:
    await qdrant.proxy.cut()
    async with serving(an_app(qdrant, tmp_path)) as service:
        answers = await service.everything()
        assert answers.pop("live").status == 200
        assert {answer.status for answer in answers.values()} == {503}
        assert "repository: The index is not open yet" in answers["ready"].body["detail"]
        await qdrant.proxy.mend()
        await service.until_ready(within=stretched(10 + 2 * RECOVERY_SECONDS))
        await service.prepare()
        await all_is_well(service)
