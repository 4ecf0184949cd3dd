import asyncio
import time

import grpc
import pytest

from adapters.repositories.qdrant.server.faults import FaultKind, QdrantFault
from adapters.repositories.qdrant.server.signs_of_life import SignsOfLife


async def test_who_waits_for_a_sign_of_life_when_the_connection_is_closed_gets_a_fault() -> None:
    asked = asyncio.Event()

    async def never_answer() -> None:
        asked.set()
        await asyncio.sleep(60)

    signs = SignsOfLife("http://test", never_answer, timeout=10)
    signs.note_silence(QdrantFault(FaultKind.AWAY, "no answer within 10 s"), since=time.monotonic())
    waiting = [asyncio.create_task(signs.require()) for _ in range(3)]
    await asked.wait()
    await signs.forget()
    faults = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(fault) for fault in faults] == [QdrantFault] * 3
    assert [str(fault) for fault in faults] == ["no answer within 10 s"] * 3


async def test_who_is_cancelled_waits_no_more_and_the_others_go_on() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def answer_late() -> None:
        asked.set()
        await answer.wait()

    signs = SignsOfLife("http://test", answer_late, timeout=10)
    signs.note_silence(QdrantFault(FaultKind.AWAY, "silent"), since=time.monotonic())
    impatient, patient = asyncio.create_task(signs.require()), asyncio.create_task(signs.require())
    await asked.wait()
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    answer.set()
    await patient


async def test_a_server_that_is_back_within_the_time_of_a_check_is_found_to_be() -> None:
    """As over gRPC, which refuses requests for a moment after a connection has failed."""
    refusals = [ConnectionRefusedError("still away")] * 3

    async def refuse_at_first() -> None:
        if refusals:
            raise refusals.pop()

    signs = SignsOfLife("http://test", refuse_at_first, timeout=60)
    signs.note_silence(QdrantFault(FaultKind.AWAY, "connection reset"), since=time.monotonic())
    await signs.require()
    assert refusals == []


async def test_a_server_that_stays_away_is_waited_for_no_longer_than_the_timeout() -> None:
    async def refuse() -> None:
        raise ConnectionRefusedError

    signs = SignsOfLife("http://test", refuse, timeout=0.2)
    signs.note_silence(QdrantFault(FaultKind.AWAY, "connection reset"), since=time.monotonic())
    began = time.monotonic()
    with pytest.raises(QdrantFault, match="connection reset"):
        await signs.require()
    assert time.monotonic() - began < 10


async def test_a_refusal_is_a_sign_of_life() -> None:
    async def refuse() -> None:
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAUTHENTICATED, grpc.aio.Metadata(), grpc.aio.Metadata())

    signs = SignsOfLife("http://test", refuse, timeout=60)
    signs.note_silence(QdrantFault(FaultKind.AWAY, "silent"), since=time.monotonic())
    await signs.require()


async def test_a_mistake_of_ours_amid_a_check_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("ours")

    signs = SignsOfLife("http://test", fail, timeout=60)
    signs.note_silence(QdrantFault(FaultKind.AWAY, "silent"), since=time.monotonic())
    with pytest.raises(ValueError, match="ours"):
        await signs.require()
