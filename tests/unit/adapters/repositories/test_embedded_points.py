"""Group commit: while one batch of writes is made durable, the next one gathers."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.repositories.qdrant.embedded.points import EmbeddedPoints
from adapters.repositories.qdrant.points import ANY_POINT, POINTS_PER_COMMIT, Delete, Point, SetPayload, Upsert, Write
from domain.callers import Deadline, present_deadline, within
from domain.errors import LookalikeError, StorageFullError
from tests.builders import a_space, an_embedding, an_id


class FakeEngine:
    """Records what is committed; a commit lasts until `gate` is open. It has no room for payloads."""

    def __init__(self) -> None:
        self.batches: list[list[Write]] = []
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def ask(self, verb: str, writes: Sequence[Write]) -> list[LookalikeError | None]:
        assert verb == "write"
        self.batches.append(list(writes))
        self.began.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [
            StorageFullError(f"no room for {operation.payload}") if isinstance(operation, SetPayload) else None
            for [operation, *_] in writes
        ]


def over(engine: FakeEngine) -> EmbeddedPoints:
    process: Any = engine
    return EmbeddedPoints(process, a_space())


def an_upsert(points: int) -> Write:
    """Half of the points apart from the others, as objects are from images."""
    stored = [Point(str(an_id(number)), "image", an_embedding(number), {}) for number in range(points)]
    return [Upsert(stored[: points // 2]), Upsert(stored[points // 2 :]), Delete([])]


def a_deletion(number: int = 0) -> Write:
    return [Delete([str(an_id(number))])]


async def test_writes_gather_while_a_batch_is_committed() -> None:
    engine = FakeEngine()
    points = over(engine)
    engine.gate.clear()
    first = asyncio.create_task(points.write(a_deletion(0)))
    await engine.began.wait()
    others = [asyncio.create_task(points.write(a_deletion(number))) for number in range(1, 20)]
    await asyncio.sleep(0)
    assert not first.done()
    engine.gate.set()
    await asyncio.gather(first, *others)

    assert [len(batch) for batch in engine.batches] == [1, 19]
    assert engine.batches[1] == [a_deletion(number) for number in range(1, 20)]


async def test_a_batch_holds_a_bounded_number_of_points() -> None:
    engine = FakeEngine()
    points = over(engine)
    await asyncio.gather(
        *(points.write(an_upsert(count)) for count in (POINTS_PER_COMMIT, 300, 200, 1, 2 * POINTS_PER_COMMIT))
    )

    sizes = [
        [sum(len(operation.points) for operation in write if isinstance(operation, Upsert)) for write in batch]
        for batch in engine.batches
    ]
    assert sizes == [[500], [300, 200], [1], [1000]]


async def test_each_caller_hears_of_its_own_write_alone() -> None:
    engine = FakeEngine()
    points = over(engine)
    outcomes = await asyncio.gather(
        points.write(a_deletion()), points.write([SetPayload({"a": 1}, [], ANY_POINT)]), return_exceptions=True
    )

    assert outcomes[0] is None
    assert isinstance(outcomes[1], StorageFullError)
    assert "no room for {'a': 1}" in str(outcomes[1])
    assert len(engine.batches) == 1


async def test_a_failed_commit_fails_its_callers_and_not_the_next() -> None:
    engine = FakeEngine()
    points = over(engine)
    engine.error = ConnectionError("gone")
    with pytest.raises(ConnectionError, match="gone"):
        await points.write(a_deletion())
    engine.error = None
    await points.write(a_deletion())


async def test_a_cancelled_caller_disturbs_nobody_and_finish_waits_for_its_write() -> None:
    engine = FakeEngine()
    points = over(engine)
    engine.gate.clear()
    writes = [an_upsert(1), an_upsert(2)]
    cancelled, patient = (asyncio.create_task(points.write(write)) for write in writes)
    await engine.began.wait()
    cancelled.cancel()
    finishing = asyncio.create_task(points.finish())
    await asyncio.sleep(0)
    assert not finishing.done()
    engine.gate.set()
    await finishing

    assert cancelled.cancelled()
    assert patient.done()
    [batch] = engine.batches
    assert all(committed is write for committed, write in zip(batch, writes, strict=True))


async def test_no_callers_deadline_bounds_a_commit_that_is_everybodys() -> None:
    deadlines = []

    class NotingEngine(FakeEngine):
        async def ask(self, verb: str, writes: Sequence[Write]) -> list[LookalikeError | None]:
            deadline = present_deadline()
            deadlines.append(deadline and deadline.at)
            return await super().ask(verb, writes)

    with within(Deadline(time.monotonic() + 60.0)):
        await over(NotingEngine()).write(a_deletion())
    assert deadlines == [None]
