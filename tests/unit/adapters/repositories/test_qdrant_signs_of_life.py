"""Whether a Qdrant server that was silent is worth waiting for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from adapters.repositories.qdrant.server.connection import QdrantConnection
from adapters.repositories.qdrant.server.faults import FaultKind, QdrantFault


class FakeClient:
    """Answers health checks as it is told to."""

    def __init__(self, info: Callable[[], Awaitable[object]]) -> None:
        self.info = info

    async def close(self) -> None: ...


def to_a_silent_server(
    monkeypatch: pytest.MonkeyPatch, info: Callable[[], Awaitable[object]], *, timeout: float = 60.0
) -> QdrantConnection:
    """An open connection of which a request has just had no answer."""
    client: Any = FakeClient(info)
    monkeypatch.setattr(QdrantConnection, "_new_client", lambda _: client)
    connection = QdrantConnection(url="http://test", timeout=timeout)
    connection.acquire()
    silence = QdrantFault(FaultKind.AWAY, "connection reset")
    connection._note_silence(silence, since=time.monotonic(), after=timeout)
    return connection


async def answer(_: object) -> str:
    return "an answer"


async def test_a_caller_that_waits_when_the_connection_is_closed_gets_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def never_answer() -> None:
        asked.set()
        await asyncio.sleep(60)

    connection = to_a_silent_server(monkeypatch, never_answer)
    waiting = [asyncio.create_task(connection.call(answer)) for _ in range(3)]
    await asked.wait()
    await connection.release()
    faults = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(fault) for fault in faults] == [QdrantFault] * 3


async def test_a_caller_that_is_cancelled_waits_no_more_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, be_back = asyncio.Event(), asyncio.Event()

    async def answer_late() -> None:
        asked.set()
        await be_back.wait()

    connection = to_a_silent_server(monkeypatch, answer_late)
    impatient, patient = (asyncio.create_task(connection.call(answer)) for _ in range(2))
    await asked.wait()
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    be_back.set()
    assert await patient == "an answer"


async def test_a_server_that_is_back_within_the_time_of_a_check_is_found_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """As over gRPC, which refuses requests for a moment after a connection has failed."""
    refusals = [ConnectionRefusedError("still away")] * 3

    async def refuse_at_first() -> None:
        if refusals:
            raise refusals.pop()

    assert await to_a_silent_server(monkeypatch, refuse_at_first).call(answer) == "an answer"
    assert refusals == []


async def test_a_server_that_stays_away_is_waited_for_no_longer_than_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> None:
        raise ConnectionRefusedError

    began = time.monotonic()
    with pytest.raises(QdrantFault, match="connection reset"):
        await to_a_silent_server(monkeypatch, refuse).call(answer)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED])
async def test_a_refusal_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode) -> None:
    checks = 0

    async def refuse() -> None:
        nonlocal checks
        checks += 1
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())

    assert await to_a_silent_server(monkeypatch, refuse).call(answer) == "an answer"
    assert checks == 1


async def test_a_mistake_of_ours_amid_a_check_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await to_a_silent_server(monkeypatch, fail).call(answer)
