import asyncio
import threading
import time

import pytest

from adapters.scheduling.slots import Room, Slots, SlotsClosedError
from domain.callers import Deadline, within
from domain.errors import DeadlinePassedError
from tests.eventually import until


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


async def test_a_call_that_runs_is_waited_for_by_its_cancelled_caller() -> None:
    slots = Slots(1, name="test")
    begun, finish = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        finish.wait(10)

    running = asyncio.create_task(slots.run(hold))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        running.cancel()
        await asyncio.wait([running], timeout=0.02)
        assert not running.done(), "what the call works on is still in use"
    finish.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await slots.run(list) == []
    await slots.close()


@pytest.mark.parametrize("why", ["the caller went away", "the deadline passed"])
async def test_a_call_that_is_not_wanted_any_more_never_runs(why: str) -> None:
    slots = Slots(1, name="test")
    finish, deadline = threading.Event(), Deadline()
    ran: list[str] = []
    running = asyncio.create_task(slots.run(finish.wait, 10))
    await asyncio.sleep(0)
    if why == "the deadline passed":
        deadline.at = time.monotonic() + 0.01
    with within(deadline):
        waiting = asyncio.create_task(slots.run(ran.append, "waited"))
    await asyncio.wait([waiting], timeout=0.1)
    deadline.gone = why == "the caller went away"
    finish.set()
    await running
    with pytest.raises(DeadlinePassedError):
        await waiting
    await slots.close()
    assert ran == []


async def test_of_room_no_more_is_in_use_and_a_cancelled_turn_is_passed_on() -> None:
    room = Room(10)
    order: list[str] = []

    async def take(name: str) -> None:
        async with room.taken(10):
            assert room.in_use == 10
            order.append(name)

    with room.taken_now(10):
        tasks = {name: asyncio.create_task(take(name)) for name in ("waits", "has its turn", "second")}
        await asyncio.sleep(0)
        tasks["waits"].cancel()
        await asyncio.sleep(0)
        assert (room.in_use, order) == (10, [])
    tasks["has its turn"].cancel()  # its turn has come, and it has not run since
    await asyncio.wait_for(tasks["second"], 10)
    assert (order, room.in_use) == (["second"], 0)


async def test_however_large_one_is_let_in_and_a_failure_gives_its_room_back() -> None:
    room = Room(10)

    async def fail(error: type[BaseException]) -> None:
        async with room.taken(500):
            assert not room.is_free
            raise error

    for error in (ValueError, asyncio.CancelledError):
        with pytest.raises(error):
            await fail(error)
        assert room.is_free


async def test_nobody_overtakes_those_who_wait() -> None:
    room = Room(10)
    with room.taken_now(10):
        taking = asyncio.create_task(room.taken(10).__aenter__())
        await asyncio.sleep(0)
    assert not room.is_free
    await asyncio.wait_for(taking, 10)


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
