import asyncio
import threading

import pytest

from adapters.inference.slots import Slots, SlotsClosedError


async def test_calls_that_wait_when_the_slots_close_say_so_and_never_run() -> None:
    slots = Slots(1, name="test")
    begun, finish = threading.Event(), threading.Event()
    ran: list[str] = []

    def hold() -> str:
        begun.set()
        finish.wait(10)
        return "held"

    running = asyncio.create_task(slots.run(hold))
    waiting = asyncio.create_task(slots.run(ran.append, "waited"))
    await asyncio.to_thread(begun.wait, 10)
    closing = asyncio.create_task(slots.close())
    with pytest.raises(SlotsClosedError):
        await waiting
    finish.set()
    await closing
    assert await running == "held"
    assert ran == []


async def test_a_call_after_closing_says_so() -> None:
    slots = Slots(1, name="test")
    await slots.close()
    with pytest.raises(SlotsClosedError):
        await slots.run(list)


async def test_a_cancelled_caller_is_cancelled() -> None:
    slots = Slots(1, name="test")
    finish = threading.Event()
    running = asyncio.create_task(slots.run(finish.wait, 10))
    waiting = asyncio.create_task(slots.run(list))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    finish.set()
    assert await running
    await slots.close()
