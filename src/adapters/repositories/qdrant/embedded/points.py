"""The verbs as the embedded engine's process answers them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any

from typing_extensions import override

from adapters.repositories.qdrant.embedded.process import EngineProcess
from adapters.repositories.qdrant.points import POINTS_PER_COMMIT, Discard, Points, Upsert, Write
from domain.callers import Deadline, raise_if_over, within
from domain.embeddings import EmbeddingSpace

GATHER_SECONDS = 0.002
"""Callers whose writes have just been committed come back with their next ones together: wait for them, a fraction of
what a flush takes, so that they share one again."""


def _asked(verb: str) -> Any:  # noqa: ANN401 - the method of `Points` that it stands for
    """A verb that the engine's method of the same name answers."""

    def ask(points: "EmbeddedPoints", *args: object, **kwargs: object) -> Awaitable[Any]:
        return points.process.ask(verb, *args, **kwargs)

    return ask


class EmbeddedPoints(Points):
    """Requests are answered one after the other, and writes committed in the order in which they came, many at a time.

    While one batch of writes is made durable, the next one gathers.
    """

    is_serial = True

    def __init__(self, process: EngineProcess, space: EmbeddingSpace) -> None:
        self.process = process
        self.space = space
        self._waiting: deque[tuple[Write, asyncio.Future[None]]] = deque()
        self._committing: asyncio.Task[None] | None = None

    count = _asked("count")
    facet = _asked("facet")
    query = _asked("query")
    retrieve = _asked("retrieve")
    scroll = _asked("scroll")

    @override
    async def write(self, operations: Write) -> None:
        """A write that has begun is finished, whatever becomes of its caller."""
        raise_if_over()
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(lambda done: done.cancelled() or done.exception())  # else it is logged as unseen
        self._waiting.append((operations, outcome))
        if self._committing is None:
            with within(Deadline()):  # all callers share the commits: no deadline of one ends them
                self._committing = asyncio.create_task(self._commit_all())
        if not all(isinstance(operation, Discard) for operation in operations):
            await outcome

    async def finish(self) -> None:
        """Wait until all writes that have begun are durable."""
        while self._committing is not None:
            await asyncio.wait([self._committing])

    async def close(self) -> None:
        """Finish, and let the process end."""
        await self.finish()
        await self.process.stop()

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_SECONDS)
                batch = self._next_batch()
                failures: Sequence[Exception | None]
                try:
                    failures = await self.process.ask("write", [write for write, _ in batch])
                except Exception as error:  # of any kind: the callers get it
                    failures = [error] * len(batch)
                for (_, outcome), failure in zip(batch, failures, strict=True):
                    if not outcome.done():
                        outcome.set_result(None) if failure is None else outcome.set_exception(failure)
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
