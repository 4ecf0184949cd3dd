import asyncio
from collections.abc import Sequence

import pytest

from adapters.repositories.edge.requests import Change, Delete, Failure, FailureKind, SetMetadata, Upsert
from adapters.repositories.edge.write_queue import MAX_POINTS, WriteQueue
from adapters.repositories.object_payload import Generation
from domain.errors import ImageNotFoundError
from tests.builders import a_record, an_id


class FakeShard:
    """Records what is committed; a commit lasts until `gate` is open."""

    def __init__(self) -> None:
        self.batches: list[list[Change]] = []
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def commit(self, changes: Sequence[Change]) -> list[Failure | None]:
        self.batches.append(list(changes))
        self.began.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [
            Failure(FailureKind.NOT_FOUND, ids=(change.id,)) if isinstance(change, SetMetadata) else None
            for change in changes
        ]


def an_upsert(points: int) -> Upsert:
    """Of half as many images as points, with an object for each other one."""
    images = (points + 1) // 2
    return Upsert(
        records=[a_record(number) for number in range(images)],
        generations=[Generation(an_id(number), "g", int(number < points - images)) for number in range(images)],
        vectors=b"",
        object_vectors=b"",
    )


async def test_changes_gather_while_a_batch_is_committed() -> None:
    shard = FakeShard()
    queue = WriteQueue(shard.commit)
    shard.gate.clear()
    first = asyncio.create_task(queue.put(Delete([an_id(0)])))
    await shard.began.wait()
    others = [asyncio.create_task(queue.put(Delete([an_id(number)]))) for number in range(1, 20)]
    await asyncio.sleep(0)
    assert not first.done()
    shard.gate.set()
    await asyncio.gather(first, *others)

    assert [len(batch) for batch in shard.batches] == [1, 19]
    assert shard.batches[1] == [Delete([an_id(number)]) for number in range(1, 20)]


async def test_a_batch_holds_a_bounded_number_of_points() -> None:
    shard = FakeShard()
    queue = WriteQueue(shard.commit)
    await asyncio.gather(*(queue.put(an_upsert(points)) for points in (MAX_POINTS, 300, 200, 1, 2 * MAX_POINTS)))

    sizes = [[change.point_count for change in batch if isinstance(change, Upsert)] for batch in shard.batches]
    assert sizes == [[500], [300, 200], [1], [1000]]


async def test_each_caller_hears_of_its_own_change_alone() -> None:
    shard = FakeShard()
    queue = WriteQueue(shard.commit)
    outcomes = await asyncio.gather(
        queue.put(Delete([an_id(1)])), queue.put(SetMetadata(an_id(2), {})), return_exceptions=True
    )

    assert outcomes[0] is None
    assert isinstance(outcomes[1], ImageNotFoundError)
    assert outcomes[1].ids == (an_id(2),)
    assert len(shard.batches) == 1


async def test_a_failed_commit_fails_its_callers_and_not_the_next() -> None:
    shard = FakeShard()
    queue = WriteQueue(shard.commit)
    shard.error = ConnectionError("gone")
    with pytest.raises(ConnectionError, match="gone"):
        await queue.put(Delete([]))
    shard.error = None
    await queue.put(Delete([]))


async def test_a_cancelled_caller_disturbs_nobody_and_finish_waits_for_its_change() -> None:
    shard = FakeShard()
    queue = WriteQueue(shard.commit)
    shard.gate.clear()
    cancelled = asyncio.create_task(queue.put(an_upsert(1)))
    patient = asyncio.create_task(queue.put(an_upsert(2)))
    await shard.began.wait()
    cancelled.cancel()
    finishing = asyncio.create_task(queue.finish())
    await asyncio.sleep(0)
    assert not finishing.done()
    shard.gate.set()
    await finishing

    assert cancelled.cancelled()
    assert patient.done()
    assert shard.batches == [[an_upsert(1), an_upsert(2)]]
