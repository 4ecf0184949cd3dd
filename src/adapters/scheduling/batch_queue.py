"""Micro-batching: what many callers ask for at the same time goes through the model together."""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from adapters.scheduling.slots import Slots, SlotsClosedError
from adapters.scheduling.waiting_line import Waiting, WaitingLine

T = TypeVar("T")
R = TypeVar("R")

CAPACITY = 1_000
"""Items that may wait: some seconds of work. Their memory is bounded where pictures are decoded."""

PATIENCE_SECONDS = 0.002
"""How long a batch that is not full waits for more at most: a fraction of what one item takes."""

RECENT = 0.2
"""Weight of the latest gap between arrivals in their moving average."""


class BatchQueue(Generic[T, R]):
    """Runs the items of all callers in batches of up to `most`, one batch at a time, on a thread of its own.

    A batch leaves when it is full, or when the model is free and nothing more is to be expected: it waits, never
    longer than PATIENCE_SECONDS, only while items have been arriving faster than that. An idle service adds no wait.

    Callers who wait for one answer go before bulk work (WaitingLine), and do not wait for a batch to fill with it.
    If a batch fails, its items are run one by one, so that only those that cannot be run fail.
    """

    def __init__(self, run: Callable[[Sequence[T]], Sequence[R | Exception]], *, most: int, name: str) -> None:
        self._run = run
        self._most = most
        self._line: WaitingLine[T, R] = WaitingLine(capacity=CAPACITY)
        self._thread = Slots(1, name=name)
        self._gathering: asyncio.Task[None] | None = None
        self._full = asyncio.Event()
        self._arrived = 0.0
        self._usual_gap = 1.0

    async def submit(self, item: T) -> R:
        """The item's result. Raises BusyError, DeadlinePassedError, SlotsClosedError, and what its run raised."""
        now = time.monotonic()
        self._usual_gap += RECENT * (min(now - self._arrived, 1.0) - self._usual_gap)
        self._arrived = now
        waiting = self._line.join(item)
        if len(self._line) >= self._most:
            self._full.set()
        if self._gathering is None:
            # It gets a context of its own, since it works for all callers and not only for the one that started it.
            self._gathering = asyncio.create_task(self._work(), context=contextvars.Context())
        return await waiting.result

    async def close(self) -> None:
        """Wait for the batch that runs, drop what waits."""
        self._line.refuse_all(SlotsClosedError())
        await self._thread.close()

    async def _work(self) -> None:
        try:
            while self._line:
                if len(self._line) < self._most and self._usual_gap < PATIENCE_SECONDS:
                    await self._gather_more()
                if batch := self._line.take_many(self._most):
                    await self._run_batch(batch)
        finally:
            self._gathering = None

    async def _gather_more(self) -> None:
        self._full.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._full.wait(), PATIENCE_SECONDS)

    async def _run_batch(self, batch: list[Waiting[T, R]]) -> None:
        if stage := next((waiting.stage for waiting in batch if waiting.stage is not None), None):
            stage.ran_in_batch(len(batch))
        try:
            outcomes = await self._thread.run(self._outcomes, [waiting.work for waiting in batch])
        except Exception as error:  # of any kind: the callers get it
            outcomes = [error] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.settle(outcome)

    def _outcomes(self, items: Sequence[T]) -> list[R | Exception]:
        try:
            return list(self._run(items))
        except Exception as error:
            if len(items) == 1:
                return [error]
        outcomes: list[R | Exception] = []
        for item in items:
            outcomes += self._outcomes([item])
        return outcomes
