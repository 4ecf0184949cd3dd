"""Who waits for the work at hand: for how long, and whether others should go first.

Context variables, since this belongs to the call and not to any one layer: whoever is about to begin expensive work
asks, and nobody in between passes it on.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from domain.errors import DeadlinePassedError


class Caller:
    """Somebody who waits for an answer, until a deadline (`time.monotonic()`) or until they go away."""

    __slots__ = ("deadline", "gone")

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.gone = False

    def raise_if_over(self) -> None:
        """Raise DeadlinePassedError if nobody waits for the result any more."""
        if self.gone:
            raise DeadlinePassedError("The caller went away before the work began.")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlinePassedError("The caller's deadline passed before the work began.")


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
_bulk: ContextVar[bool] = ContextVar("bulk", default=False)


def present_caller() -> Caller | None:
    """The caller of the present task, or None where nobody is known to wait."""
    return _caller.get()


@contextmanager
def acting_for(caller: Caller) -> Iterator[None]:
    """What the present task does within the block, and what those do that it starts there, is for `caller`."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def set_deadline(seconds_from_now: float) -> None:
    """Bound the wait of the present caller."""
    deadline = time.monotonic() + seconds_from_now
    if (caller := _caller.get()) is None:
        _caller.set(Caller(deadline))
    else:
        caller.deadline = deadline


def raise_if_over() -> None:
    """Raise DeadlinePassedError if the present caller waits no more."""
    if (caller := _caller.get()) is not None:
        caller.raise_if_over()


def seconds_left() -> float | None:
    """Seconds until the present caller's deadline, 0 where it has passed; None where there is none."""
    caller = _caller.get()
    return None if caller is None or caller.deadline is None else max(0.0, caller.deadline - time.monotonic())


def begin_bulk() -> None:
    """What the present task does, and those that it starts, is bulk work: callers who wait for one answer go first."""
    _bulk.set(True)


def is_bulk() -> bool:
    """Whether the present work is bulk work."""
    return _bulk.get()
