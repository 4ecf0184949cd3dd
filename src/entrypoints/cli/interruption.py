"""Ctrl-C as a request to finish what is in hand."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended."""


class Interruption:
    """Whether the user asked to stop."""

    requested: bool = False


@contextmanager
def finish_on_interrupt() -> Iterator[Interruption]:
    """Within, the first Ctrl-C is only noted; a second one interrupts at once, as it would have without this."""
    interruption = Interruption()
    previous = signal.getsignal(signal.SIGINT)

    def note(_signal: int, _frame: FrameType | None) -> None:
        interruption.requested = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, note)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, previous)


def say_how_to_go_on(hint: str) -> None:
    """Tell the user what an interrupted command has left."""
    print(f"Interrupted. {hint}", file=sys.stderr)
