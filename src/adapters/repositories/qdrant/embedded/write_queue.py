"""Group commit: while one batch of writes is made durable, the next one gathers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from adapters.repositories.qdrant.embedded.requests import Write
from adapters.repositories.qdrant.points import POINTS_PER_COMMIT, Upsert
from domain.callers import Caller, acting_for
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
        self._waiting: deque[tuple[Write, asyncio.Future[None]]] = deque()
        self._committing: asyncio.Task[None] | None = None

    def put(self, write: Write) -> asyncio.Future[None]:
        """Let the write be made durable with the next ones. The future ends then, or raises what failed.

        A caller that is cancelled, or does not wait, leaves its write in the queue.
        """
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())  # else it is logged as unseen
        self._waiting.append((write, outcome))
        if self._committing is None:
            with acting_for(Caller()):  # the commits are everybody's: no caller's deadline ends them
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
                failures: Sequence[Exception | None]
                try:
                    failures = await self._commit([write for write, _ in batch])
                except Exception as error:  # whatever it is, it is the callers'
                    failures = [error] * len(batch)
                for (_, waiting), failure in zip(batch, failures, strict=True):
                    if not waiting.done():
                        waiting.set_result(None) if failure is None else waiting.set_exception(failure)
        finally:
            self._committing = None

    def _next_batch(self) -> list[tuple[Write, asyncio.Future[None]]]:
        batch: list[tuple[Write, asyncio.Future[None]]] = []
        points = 0
        while self._waiting:
            upserts = [operation for operation in self._waiting[0][0] if isinstance(operation, Upsert)]
            points += max(1, sum(len(upsert.points) for upsert in upserts))
            if batch and points > POINTS_PER_COMMIT:
                break
            batch.append(self._waiting.popleft())
        return batch
