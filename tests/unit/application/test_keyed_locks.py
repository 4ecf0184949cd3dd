import asyncio
import time

import pytest

from application.keyed_locks import KeyedLocks
from domain.callers import Deadline, within
from domain.errors import DeadlinePassedError
from tests.builders import an_id


async def test_holders_of_one_key_take_turns() -> None:
    locks, inside, most = KeyedLocks(), 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with locks.hold([an_id(1)]):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 1


async def test_holders_of_other_keys_do_not_wait() -> None:
    locks = KeyedLocks()
    async with locks.hold([an_id(1), an_id(2)]), asyncio.timeout(5), locks.hold([an_id(3)]):
        pass


async def test_opposite_orders_do_not_wait_for_each_other() -> None:
    locks = KeyedLocks()

    async def work(first: int, second: int) -> None:
        for _ in range(50):
            async with locks.hold([an_id(first), an_id(second), an_id(first)]):
                await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await asyncio.gather(work(1, 2), work(2, 1), work(2, 3), work(3, 1))


async def test_nothing_is_kept_of_what_is_free() -> None:
    locks = KeyedLocks()
    await asyncio.gather(*(_hold_for_a_moment(locks, number % 3) for number in range(10)))
    assert locks._held == {}


async def test_one_that_gives_up_waiting_leaves_the_lock_to_others() -> None:
    locks = KeyedLocks()
    async with locks.hold([an_id(1)]):
        waiting = asyncio.create_task(_hold_for_a_moment(locks, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        next_ = asyncio.create_task(_hold_for_a_moment(locks, 1))
        await asyncio.sleep(0)
        assert not next_.done()
    async with asyncio.timeout(5):
        await next_


async def test_nobody_waits_longer_than_their_deadline() -> None:
    locks = KeyedLocks()
    async with locks.hold([an_id(1)]):
        with within(Deadline(time.monotonic() + 0.05)), pytest.raises(DeadlinePassedError):
            async with asyncio.timeout(30):
                await _hold_for_a_moment(locks, 1)
    await _hold_for_a_moment(locks, 1)
    assert locks._held == {}


async def test_a_failure_inside_frees_the_lock() -> None:
    locks = KeyedLocks()
    with pytest.raises(ValueError, match="inside"):
        async with locks.hold([an_id(1)]):
            raise ValueError("inside")
    async with asyncio.timeout(5):
        await _hold_for_a_moment(locks, 1)


async def _hold_for_a_moment(locks: KeyedLocks, number: int) -> None:
    async with locks.hold([an_id(number)]):
        await asyncio.sleep(0)
