"""The order in which waiting work gets its turn."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from adapters.scheduling.stage import Stage, present_stage
from domain.callers import Deadline, is_bulk, present_deadline
from domain.errors import BusyError, DeadlinePassedError

T = TypeVar("T")
R = TypeVar("R")

BULK_TURN = 4
"""While others wait, bulk work gets one turn of so many: it is slowed down, but never starved."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[T, R]):
    """Work that waits for its turn, and what becomes of it."""

    work: T
    result: asyncio.Future[R]
    deadline: Deadline | None
    stage: Stage | None = field(default_factory=present_stage.get)
    since: float = field(default_factory=time.monotonic)

    def leave_line(self) -> None:
        """Tell the stage how long it waited."""
        if self.stage is not None:
            self.stage.left_line(time.monotonic() - self.since)

    def settle(self, outcome: R | Exception) -> None:
        """Give the caller a result, or raise an error there, unless they were cancelled."""
        if self.result.done():
            return
        if isinstance(outcome, Exception):
            self.result.set_exception(outcome)
        else:
            self.result.set_result(outcome)

    def still_wanted(self) -> bool:
        """Whether the caller still waits for the result. Tells the caller if its deadline has passed."""
        try:
            if self.deadline is not None:
                self.deadline.raise_if_over()
        except DeadlinePassedError as error:
            self.settle(error)
        return not self.result.done()

    @property
    def had_turn(self) -> bool:
        """Whether a result was set, even if the caller was cancelled before it saw that."""
        return self.result.done() and not self.result.cancelled() and self.result.exception() is None


class WaitingLine(Generic[T, R]):
    """Callers who wait for one answer go before bulk work; each kind in the order in which it came.

    Work whose caller was cancelled, went away or ran out of time never gets a turn. At most `capacity` callers wait:
    more are refused at once. Bulk work is not counted: it is bounded where it is submitted. Belongs to one event loop.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._first: deque[Waiting[T, R]] = deque()
        self._bulk: deque[Waiting[T, R]] = deque()
        self._turns_without_bulk = 0

    def __len__(self) -> int:
        return len(self._first) + len(self._bulk)

    def join(self, work: T) -> Waiting[T, R]:
        """Wait from now on; whatever takes the work sets `result`. Raises BusyError."""
        loop = asyncio.get_running_loop()
        deadline = present_deadline()
        waiting: Waiting[T, R] = Waiting(work, loop.create_future(), deadline)
        if is_bulk():
            self._bulk.append(waiting)
        elif len(self._first) >= self._capacity:
            raise BusyError(f"{len(self._first)} calls wait for this already.")
        else:
            self._first.append(waiting)
        if waiting.stage is not None:
            waiting.stage.joined_line()
        if deadline is not None and deadline.at is not None:
            # The caller hears in time that its deadline has passed, however long the line. Work that has begun goes on.
            timer = loop.call_later(max(0.0, deadline.at - time.monotonic()), self._expire, waiting)
            waiting.result.add_done_callback(lambda _: timer.cancel())
        return waiting

    def take(self) -> Waiting[T, R] | None:
        """The work whose turn it is; None where none waits."""
        while self._first or self._bulk:
            bulk = bool(self._bulk) and (not self._first or self._turns_without_bulk >= BULK_TURN - 1)
            waiting = (self._bulk if bulk else self._first).popleft()
            waiting.leave_line()
            if waiting.still_wanted():
                self._turns_without_bulk = 0 if bulk or not self._bulk else self._turns_without_bulk + 1
                return waiting
        return None

    def take_many(self, most: int) -> "list[Waiting[T, R]]":
        """The work whose turn it is, up to `most`. Callers who go first do not share their batch with all bulk work."""
        batch: list[Waiting[T, R]] = []
        urgent = bool(self._first)
        while len(batch) < most and (waiting := self.take()):
            batch.append(waiting)
            if urgent and not self._first:
                break
        return batch

    def refuse_all(self, reason: Exception) -> None:
        """Raise `reason` in all callers that wait."""
        for line in (self._first, self._bulk):
            while line:
                waiting = line.popleft()
                waiting.leave_line()
                waiting.settle(reason)

    def _expire(self, waiting: Waiting[T, R]) -> None:
        # This does not look at the clock again: a loop's timer may come a moment before the deadline.
        for line in (self._first, self._bulk):
            if waiting in line:
                line.remove(waiting)
                waiting.leave_line()
                waiting.settle(DeadlinePassedError("The deadline passed while the call waited."))
