import asyncio
import threading
import time
import weakref

import pytest

from adapters.inference.slots import Slots, SlotsClosedError
from domain.callers import Caller, acting_for
from domain.errors import DeadlinePassedError
from tests.eventually import until


class Picture:
    """Something large."""


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


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("why", ["the caller went away", "the deadline passed", "the call failed"])
async def test_of_a_call_without_a_result_nothing_is_kept(why: str) -> None:
    slots = Slots(1, name="test")
    picture, finish, caller = Picture(), threading.Event(), Caller()
    kept = weakref.ref(picture)

    def fail(_: Picture) -> None:
        raise RuntimeError

    running = asyncio.create_task(slots.run(finish.wait, 10))
    await asyncio.sleep(0)
    if why == "the deadline passed":
        caller.deadline = time.monotonic() + 0.01
    with acting_for(caller):
        waiting = asyncio.create_task(slots.run(fail, picture))
    del picture
    await asyncio.wait([waiting], timeout=0.1)
    caller.gone = why == "the caller went away"
    finish.set()
    await running
    with pytest.raises((DeadlinePassedError, RuntimeError)):
        await waiting
    del waiting
    await slots.close()
    assert kept() is None


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_they_need_no_more_threads_once_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(2, name="test")
    both = threading.Barrier(2)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    async with asyncio.timeout(30):
        assert sorted(await asyncio.gather(slots.run(both.wait), slots.run(both.wait))) == [0, 1]


def test_where_there_are_too_few_threads_they_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_one(thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        start(thread)
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with pytest.raises(RuntimeError, match="can't start"):
        Slots(2, name="test")
    [alone] = started
    assert until(lambda: not alone.is_alive())
