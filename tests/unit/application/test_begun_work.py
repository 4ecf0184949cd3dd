import asyncio
import time
from collections.abc import Awaitable

import pytest

from application.begun_work import all_of, committed, finished
from domain.callers import Deadline, raise_if_over, seconds_left, within
from domain.errors import DeadlinePassedError


async def test_a_cancelled_caller_hears_of_it_once_the_work_has_ended() -> None:
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await may_end.wait()
        ended.set()

    caller = asyncio.create_task(finished(work()))
    await asyncio.sleep(0)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_work_that_fails_after_its_caller_was_cancelled_is_no_error_of_the_loop() -> None:
    unseen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    async def work() -> None:
        await asyncio.sleep(0.01)
        raise ValueError

    caller = asyncio.create_task(finished(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0)
    assert unseen == []


async def test_committed_work_has_no_deadline_and_is_not_cancelled_with_its_caller() -> None:
    left: list[float | None] = []

    async def write() -> str:
        await asyncio.sleep(0.01)
        raise_if_over()
        left.append(seconds_left())
        return "written"

    deadline = Deadline(time.monotonic())
    with within(deadline):
        assert await committed(write()) == "written"
        caller = asyncio.create_task(committed(write()))
        await asyncio.sleep(0)
        deadline.gone = True
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        with pytest.raises(DeadlinePassedError):
            raise_if_over()  # the caller's own deadline is as it was
    assert left == [None, None]


async def test_what_the_work_comes_to_is_the_callers() -> None:
    async def fail() -> int:
        raise ValueError("in vain")

    assert await finished(asyncio.sleep(0, 7)) == 7
    with pytest.raises(ValueError, match="in vain"):
        await finished(fail())


async def test_of_several_the_first_failure_is_raised_once_all_have_ended() -> None:
    ended: list[str] = []

    async def work(name: str, *, seconds: float, failure: Exception | None = None) -> str:
        await asyncio.sleep(seconds)
        ended.append(name)
        if failure is not None:
            raise failure
        return name

    assert await all_of([work("slow", seconds=0.02), work("quick", seconds=0)]) == ("slow", "quick")
    ended.clear()
    several: list[Awaitable[str]] = [
        work("later", seconds=0.01, failure=KeyError()),
        work("sooner", seconds=0, failure=ValueError()),
        work("last", seconds=0.02),
    ]
    with pytest.raises(KeyError):
        await all_of(several)
    assert ended == ["sooner", "later", "last"]
