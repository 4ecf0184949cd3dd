"""Group commit: while one batch of writes is made durable, the next one gathers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from adapters.repositories.qdrant.embedded.requests import Write
from adapters.repositories.qdrant.points import POINTS_PER_COMMIT, Upsert
from domain.callers import Deadline, within
from domain.errors import LookalikeError

GATHER_SECONDS = 0.002
"""Callers whose writes have just been committed come back with their next ones together: wait for them, a fraction of
what a flush takes, so that they share one again."""

Commit = Callable[[Sequence[Write]], Awaitable[Sequence[LookalikeError | None]]]
"""Applies writes in their order and makes them durable together; for each, why it failed."""


class WriteQueue:
    """Callers' writes, committed in the order in which they came, many at a time."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._waiting: deque[tuple[Write, asyncio.Future[LookalikeError | None]]] = deque()
        self._committing: asyncio.Task[None] | None = None

    async def put(self, write: Write) -> None:
        """Return once the write is durable. Raises the write's failure, and what `commit` raises.

        A caller that is cancelled leaves its write in the queue.
        """
        if (failure := await self.put_unattended(write)) is not None:
            raise failure

    def put_unattended(self, write: Write) -> asyncio.Future[LookalikeError | None]:
        """Let the write be made durable with the next ones; its failure, or None, for who waits."""
        outcome: asyncio.Future[LookalikeError | None] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())  # else it is logged as unseen
        self._waiting.append((write, outcome))
        if self._committing is None:
            with within(Deadline()):  # the commits are everybody's: no caller's deadline ends them
                self._committing = asyncio.create_task(self._commit_all())
        return outcome

    async def finish(self) -> None:
        """Wait until everything that was put is committed."""
        while self._committing is not None:
            await asyncio.wait([self._committing])

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_SECONDS)
                batch = self._next_batch()
                try:
                    outcomes = await self._commit([write for write, _ in batch])
                except Exception as error:  # whatever it is, it is the callers'
                    for _, waiting in batch:
                        if not waiting.done():
                            waiting.set_exception(error)
                    continue
                for (_, waiting), outcome in zip(batch, outcomes, strict=True):
                    if not waiting.done():
                        waiting.set_result(outcome)
        finally:
            self._committing = None

    def _next_batch(self) -> list[tuple[Write, asyncio.Future[LookalikeError | None]]]:
        batch = [self._waiting.popleft()]
        points = _points(batch[0][0])
        while self._waiting and points + _points(self._waiting[0][0]) <= POINTS_PER_COMMIT:
            points += _points(self._waiting[0][0])
            batch.append(self._waiting.popleft())
        return batch


def _points(write: Write) -> int:
    return max(1, sum(len(operation.points) for operation in write if isinstance(operation, Upsert)))
