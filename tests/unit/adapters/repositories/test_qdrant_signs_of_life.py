import asyncio
import time

import pytest

from adapters.repositories.qdrant_errors import FaultKind, QdrantFault
from adapters.repositories.qdrant_signs_of_life import SignsOfLife


async def test_who_waits_for_a_sign_of_life_when_the_connection_is_closed_gets_a_fault() -> None:
    asked = asyncio.Event()

    async def never_answer() -> None:
        asked.set()
        await asyncio.sleep(60)

    signs = SignsOfLife("http://test", never_answer, timeout=10)
    signs.note_silence(QdrantFault(FaultKind.AWAY, "no answer within 10 s"), since=time.monotonic())
    waiting = [asyncio.create_task(signs.require()) for _ in range(3)]
    await asked.wait()
    signs.forget()
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
