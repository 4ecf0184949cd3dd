"""How long the caller of the present work waits, and whether others go first.

Context variables, since this belongs to the call and not to any one layer: code that is about to begin expensive work
asks, and no layer in between passes it on.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from domain.errors import DeadlinePassedError


class Deadline:
    """The end of a caller's wait: the time `at` (`time.monotonic()`; None: no such time), or when they have `gone`."""

    __slots__ = ("at", "gone")

    def __init__(self, at: float | None = None) -> None:
        self.at = at
        self.gone = False

    def raise_if_over(self) -> None:
        """Raise DeadlinePassedError if the caller has gone, or its wait is over."""
        if self.gone:
            raise DeadlinePassedError("The caller went away before the work began.")
        if self.at is not None and time.monotonic() >= self.at:
            raise DeadlinePassedError("The caller's deadline passed before the work began.")


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
_bulk: ContextVar[bool] = ContextVar("bulk", default=False)


def present_deadline() -> Deadline | None:
    """The deadline of the present task, or None where no caller is known to wait."""
    return _deadline.get()


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """`deadline` holds for what the present task does within the block, and for the tasks that it starts there."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def set_deadline(seconds_from_now: float) -> None:
    """Bound the wait of the present caller."""
    at = time.monotonic() + seconds_from_now
    if (deadline := _deadline.get()) is None:
        _deadline.set(Deadline(at))
    else:
        deadline.at = at


def raise_if_over() -> None:
    """Raise DeadlinePassedError if the present caller waits no more."""
    if (deadline := _deadline.get()) is not None:
        deadline.raise_if_over()


def seconds_left() -> float | None:
    """Seconds until the present deadline, 0 where it has passed; None where there is none."""
    deadline = _deadline.get()
    return None if deadline is None or deadline.at is None else max(0.0, deadline.at - time.monotonic())


def begin_bulk() -> None:
    """What the present task does, and those that it starts, is bulk work: callers who wait for one answer go first."""
    _bulk.set(True)


def is_bulk() -> bool:
    """Whether the present work is bulk work."""
    return _bulk.get()
