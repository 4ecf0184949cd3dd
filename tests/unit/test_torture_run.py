import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from torture import cluster, run
from torture.balancer import Address, balancing
from torture.report import Row

NODES: list[dict[str, Any]] = [
    {"url": f"http://127.0.0.1:{port}", "grpc_port": port + 1, "stop": f"kill {port}", "start": f"start {port}"}
    for port in (7000, 7010, 7020)
]


def test_a_service_that_fails_amid_a_section_is_a_row_and_the_next_section_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(directory: Path, *, short: bool) -> Iterable[Row]:
        yield Row(what="first harm", times=3)
        raise AssertionError("The service logged errors:\nmany lines")

    def healthy(directory: Path, *, short: bool) -> Iterable[Row]:
        yield Row(what="second harm", times=5)

    monkeypatch.setattr(run, "SECTIONS", {"one": failing, "two": healthy})
    monkeypatch.setattr(sys, "argv", ["torture", "--short"])
    with pytest.raises(SystemExit, match=r"^Lost, or answered 500: one: The service logged errors:$"):
        run.main()
    printed = capsys.readouterr()
    for row in ("| first harm | 3 |", "| one: The service logged errors: | 1 |", "| second harm | 5 |"):
        assert row in printed.out
    assert "many lines" in printed.err


def test_a_cluster_is_named_by_json_or_by_a_file_of_it(tmp_path: Path) -> None:
    file = tmp_path / "nodes.json"
    file.write_text(json.dumps(NODES))
    nodes = cluster.parse_nodes(json.dumps(NODES))
    assert nodes == cluster.parse_nodes(str(file))
    assert [node.rest_address for node in nodes] == [("127.0.0.1", port) for port in (7000, 7010, 7020)]
    assert nodes[2].grpc_address == ("127.0.0.1", 7021)
    assert (nodes[1].stop, nodes[1].start) == ("kill 7010", "start 7010")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("[", "is no JSON"),
        ("/nowhere/nodes.json", "is neither JSON nor a file"),
        (json.dumps(NODES[:2]), "has to be a list of 3 nodes"),
        (json.dumps([*NODES[:2], {"url": "http://127.0.0.1:7020"}]), "is no node"),
        (json.dumps([*NODES[:2], NODES[2] | {"grpc_port": "7021"}]), "is no node"),
        (json.dumps([*NODES[:2], NODES[2] | {"url": "127.0.0.1:7020"}]), "is no address of a node"),
    ],
)
def test_what_names_no_cluster_is_refused_with_the_reason(
    given: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_QDRANT_CLUSTER", given)
    with pytest.raises(AssertionError, match=complaint):
        run.SECTIONS["cluster"](tmp_path, short=True)


def test_without_a_cluster_its_section_is_skipped_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TEST_QDRANT_CLUSTER", raising=False)
    (row,) = run.SECTIONS["cluster"](tmp_path, short=True)
    assert "SKIPPED" in row.what
    assert "TEST_QDRANT_CLUSTER" in row.what
    assert row.times == 0
    assert row.passed
    assert "SKIPPED" in capsys.readouterr().out


async def test_connections_go_to_the_targets_in_turn() -> None:
    async with AsyncExitStack() as servers:
        targets = [await servers.enter_async_context(_answering(name)) for name in (b"a", b"b")]
        balancer = await servers.enter_async_context(balancing(targets))
        assert [await _ask(balancer.port) for _ in range(4)] == [b"a", b"b", b"a", b"b"]


async def test_a_target_that_refuses_or_is_not_ready_is_passed_over() -> None:
    async with AsyncExitStack() as servers:
        unready, well = [await servers.enter_async_context(_answering(name)) for name in (b"b", b"c")]

        async def is_ready(target: Address) -> bool:
            return target != unready

        balancer = await servers.enter_async_context(balancing([("127.0.0.1", 1), unready, well], is_ready))
        assert [await _ask(balancer.port) for _ in range(3)] == [b"c", b"c", b"c"]
        nobody = await servers.enter_async_context(balancing([("127.0.0.1", 1), unready], is_ready))
        assert await _ask(nobody.port) == b""


async def test_a_connection_ends_at_both_ends_when_its_target_closes_it() -> None:
    async with _answering(b"a", ends=True) as target, balancing([target]) as balancer:
        reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
        writer.write(b"?")
        assert await asyncio.wait_for(reader.read(), 10) == b"a"
        writer.close()


@asynccontextmanager
async def _answering(name: bytes, *, ends: bool = False) -> AsyncIterator[Address]:
    """A server that answers everything with its name, and then closes the connection if it `ends`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1):
            writer.write(name)
            if ends:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


async def _ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"?")
    answer = await asyncio.wait_for(reader.read(1), 10)
    writer.close()
    return answer
