import asyncio
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from contextvars import Context
from typing import Any, TypeVar

import pytest
import uvloop

from adapters.scheduling.waiting_line import BULK_TURN, WaitingLine
from domain.callers import Deadline, begin_bulk, set_deadline, within
from domain.errors import BusyError, DeadlinePassedError

Line = WaitingLine[str, str]
T = TypeVar("T")


async def join(
    line: Line, *names: str, bulk: bool = False, deadline: Deadline | None = None
) -> "list[asyncio.Future[str]]":
    async def joined() -> list[asyncio.Future[str]]:
        if bulk:
            begin_bulk()
        with nullcontext() if deadline is None else within(deadline):
            return [line.join(name).result for name in names]

    return await in_its_own_context(joined())


async def in_its_own_context(work: Coroutine[Any, Any, T]) -> T:
    return await asyncio.create_task(work, context=Context())


def turns(line: Line) -> list[str]:
    order = []
    while waiting := line.take():
        order.append(waiting.work)
    return order


async def test_callers_go_first_each_kind_in_order() -> None:
    line = Line(capacity=10)
    await join(line, "bulk 1", "bulk 2", bulk=True)
    await join(line, "first", "second")
    assert turns(line) == ["first", "second", "bulk 1", "bulk 2"]


async def test_bulk_work_is_never_starved() -> None:
    line = Line(capacity=100)
    await join(line, "bulk", bulk=True)
    await join(line, *(str(number) for number in range(20)))
    assert turns(line).index("bulk") == BULK_TURN - 1


async def test_a_batch_for_callers_does_not_wait_for_all_the_bulk_work() -> None:
    line = Line(capacity=10)
    await join(line, *(f"bulk {number}" for number in range(8)), bulk=True)
    await join(line, "first", "second")
    assert [waiting.work for waiting in line.take_many(8)] == ["first", "second"]
    assert len(line.take_many(8)) == 8


async def test_more_than_its_capacity_are_refused_but_not_bulk_work() -> None:
    line = Line(capacity=2)
    await join(line, *"abc", bulk=True)
    await join(line, "first", "second")
    with pytest.raises(BusyError, match="2 calls wait"):
        await join(line, "third")


async def test_who_waits_no_more_gets_no_turn() -> None:
    line = Line(capacity=10)
    gone, late = Deadline(), Deadline()
    [cancelled] = await join(line, "cancelled")
    [left] = await join(line, "left", deadline=gone)
    [too_late] = await join(line, "late", deadline=late)
    await join(line, "served")
    cancelled.cancel()
    gone.gone = True
    late.at = 0.0
    assert turns(line) == ["served"]
    for result in (left, too_late):
        with pytest.raises(DeadlinePassedError):
            await result


async def test_a_deadline_is_answered_when_it_passes_however_long_the_line() -> None:
    line = Line(capacity=10)

    async def wait() -> None:
        set_deadline(0.01)
        with pytest.raises(DeadlinePassedError):
            await asyncio.wait_for(line.join("work").result, 10)

    await in_its_own_context(wait())
    assert len(line) == 0


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_nobody_is_forgotten_whatever_the_clock_of_the_loop(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def wait(line: Line, seconds: float) -> None:
        set_deadline(seconds)
        with pytest.raises(DeadlinePassedError):
            await line.join("work").result

    async def all_wait() -> None:
        line = Line(capacity=1000)
        await asyncio.wait_for(asyncio.gather(*(wait(line, 0.01 + number / 9876) for number in range(500))), 20)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(all_wait())


async def test_all_can_be_refused() -> None:
    line = Line(capacity=10)
    results = [*await join(line, "first"), *await join(line, "bulk", bulk=True)]
    line.refuse_all(RuntimeError("closed"))
    for result in results:
        with pytest.raises(RuntimeError, match="closed"):
            await result
    assert len(line) == 0
