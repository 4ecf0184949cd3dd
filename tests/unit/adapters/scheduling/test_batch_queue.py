import asyncio
import threading
from collections.abc import Sequence

import pytest

from adapters.scheduling import batch_queue
from adapters.scheduling.batch_queue import BatchQueue
from adapters.scheduling.slots import SlotsClosedError
from domain.callers import set_deadline
from domain.errors import DeadlinePassedError

PATIENCE = 10


class Model:
    """Doubles numbers, and can be held up. Batches with a negative number fail; so does zero, alone."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        assert self.may_run.wait(PATIENCE)
        self.batches.append(list(items))
        if min(items) < 0:
            raise RuntimeError("negative")
        return [2 * item if item else ValueError("zero") for item in items]


async def begun(model: Model, queue: BatchQueue[int, int], item: int) -> "asyncio.Task[int]":
    """The model is at work on this item, and is held up there."""
    model.may_run.clear()
    task = asyncio.create_task(queue.submit(item))
    await asyncio.sleep(0.05)
    return task


async def test_what_comes_while_the_model_runs_goes_through_it_together() -> None:
    model = Model()
    queue = BatchQueue[int, int](model, most=4, name="test")
    first = await begun(model, queue, 1)
    others = [asyncio.create_task(queue.submit(item)) for item in range(2, 8)]
    await asyncio.sleep(0.05)
    model.may_run.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12, 14]
    assert model.batches == [[1], [2, 3, 4, 5], [6, 7]]
    await queue.close()


async def test_a_batch_that_is_not_full_waits_for_more_only_while_much_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_queue, "PATIENCE_SECONDS", 0.9)
    model = Model()
    queue = BatchQueue[int, int](model, most=4, name="test")
    await queue.submit(1)  # after a long time, which a first arrival always comes after
    assert model.batches == [[1]]
    await asyncio.gather(*(queue.submit(item) for item in range(2, 42)))  # much at once: more is to be expected
    model.batches.clear()
    tasks = [asyncio.create_task(queue.submit(30))]
    await asyncio.sleep(0.05)
    assert model.batches == []
    tasks += [asyncio.create_task(queue.submit(item)) for item in (31, 32, 33)]
    await asyncio.wait_for(asyncio.gather(*tasks), 0.8)  # it is full, and waits no longer
    assert model.batches == [[30, 31, 32, 33]]
    await queue.close()


async def test_only_those_fail_that_cannot_be_run() -> None:
    model = Model()
    queue = BatchQueue[int, int](model, most=8, name="test")
    first = await begun(model, queue, 1)
    others = [asyncio.create_task(queue.submit(item)) for item in (2, -1, 3, 0)]
    await asyncio.sleep(0.05)
    model.may_run.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [result if isinstance(result, int) else str(result) for result in results] == [2, 4, "negative", 6, "zero"]
    await queue.close()


async def test_a_thread_that_is_closed_fails_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise SlotsClosedError

    queue = BatchQueue[int, int](Model(), most=8, name="test")
    monkeypatch.setattr(queue._thread, "run", refuse)
    failures = await asyncio.gather(*(queue.submit(item) for item in range(3)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {SlotsClosedError}
    await queue.close()


async def test_an_item_is_dropped_once_nobody_waits_for_it() -> None:
    model = Model()
    queue = BatchQueue[int, int](model, most=8, name="test")

    async def impatient() -> None:
        set_deadline(0.02)
        with pytest.raises(DeadlinePassedError):
            await queue.submit(2)

    first = await begun(model, queue, 1)
    cancelled = asyncio.create_task(queue.submit(3))
    late = asyncio.create_task(impatient())
    await asyncio.sleep(0.05)
    cancelled.cancel()
    last = asyncio.create_task(queue.submit(4))
    await late
    model.may_run.set()
    assert await asyncio.gather(first, last) == [2, 8]
    assert model.batches == [[1], [4]]
    await queue.close()


async def test_the_caller_who_starts_the_work_does_not_end_it_for_others() -> None:
    model = Model()
    queue = BatchQueue[int, int](model, most=1, name="test")

    async def impatient() -> int:
        set_deadline(0.02)
        return await queue.submit(1)

    model.may_run.clear()
    starter = asyncio.create_task(impatient())
    await asyncio.sleep(0.01)
    patient = asyncio.create_task(queue.submit(2))
    await asyncio.sleep(0.05)
    model.may_run.set()
    assert await asyncio.gather(starter, patient) == [2, 4]  # the first had begun in time
    await queue.close()


async def test_closing_finishes_the_batch_that_runs_and_drops_what_waits() -> None:
    model = Model()
    queue = BatchQueue[int, int](model, most=8, name="test")
    first = await begun(model, queue, 1)
    waiting = asyncio.create_task(queue.submit(2))
    await asyncio.sleep(0)
    closing = asyncio.create_task(queue.close())
    with pytest.raises(SlotsClosedError):
        await waiting
    model.may_run.set()
    await closing
    assert await first == 2
    with pytest.raises(SlotsClosedError):
        await queue.submit(3)
