import asyncio

import pytest

from domain.deadlines import raise_if_passed, set_deadline
from domain.errors import DeadlinePassedError


async def test_without_a_deadline_nobody_is_late() -> None:
    raise_if_passed()


async def test_a_deadline_holds_for_the_task_and_those_it_starts() -> None:
    async def late() -> None:
        set_deadline(0)
        with pytest.raises(DeadlinePassedError):
            raise_if_passed()
        with pytest.raises(DeadlinePassedError):
            await asyncio.create_task(check())

    async def early() -> None:
        set_deadline(60)
        await asyncio.create_task(check())

    async def check() -> None:
        raise_if_passed()

    await asyncio.gather(asyncio.create_task(late()), asyncio.create_task(early()))
    raise_if_passed()
