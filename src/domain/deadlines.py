"""How long the present caller will wait.

A context variable, since it belongs to the call and not to any one layer: whoever is about to begin expensive work
asks, and nobody in between passes it on.
"""

import time
from contextvars import ContextVar

from domain.errors import DeadlinePassedError

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(seconds_from_now: float) -> None:
    """Bound the wait of the present task, and of those that it starts."""
    _deadline.set(time.monotonic() + seconds_from_now)


def raise_if_passed() -> None:
    """Raise DeadlinePassedError if nobody waits for the result any more."""
    deadline = _deadline.get()
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlinePassedError("The caller's deadline passed before the work began.")
