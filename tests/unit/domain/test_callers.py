import asyncio

import pytest

from domain.callers import raise_if_over, seconds_left, set_deadline
from domain.errors import DeadlinePassedError


async def test_without_a_deadline_nobody_is_late() -> None:
    raise_if_over()


async def test_a_deadline_holds_for_the_task_and_those_it_starts() -> None:
    async def late() -> None:
        set_deadline(0)
        with pytest.raises(DeadlinePassedError):
            raise_if_over()
        with pytest.raises(DeadlinePassedError):
            await asyncio.create_task(check())

    async def early() -> None:
        set_deadline(60)
        await asyncio.create_task(check())

    async def check() -> None:
        raise_if_over()

    await asyncio.gather(asyncio.create_task(late()), asyncio.create_task(early()))
    raise_if_over()


async def test_the_seconds_that_are_left() -> None:
    async def bounded(seconds: float) -> float | None:
        set_deadline(seconds)
        return seconds_left()

    assert seconds_left() is None
    assert await asyncio.create_task(bounded(60)) == pytest.approx(60, abs=1)
    assert await asyncio.create_task(bounded(0)) == 0
