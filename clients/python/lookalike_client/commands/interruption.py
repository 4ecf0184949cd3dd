"""Ctrl-C and SIGTERM as a request to finish what has begun."""

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
    code: int = INTERRUPTED
    """What to exit with: 128 and the signal's number."""


@contextmanager
def finish_on_interrupt() -> Iterator[Interruption]:
    """Within, the first signal is only noted; a second one does at once what it would have done without this."""
    interruption = Interruption()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        interruption.requested = True
        interruption.code = 128 + number
        restore()

    for number in previous:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()


def say_how_to_go_on(hint: str) -> None:
    """Tell the user what an interrupted command has left."""
    print(f"Interrupted. {hint}", file=sys.stderr)
